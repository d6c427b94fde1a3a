import sys
import managesieve
port, login, password, app = int(sys.argv[1]), *sys.argv[2:5]

def ok(answer):
    status = answer[0] if isinstance(answer, tuple) else answer
    assert status == "OK", answer
    return answer

client = managesieve.MANAGESIEVE("localhost", port, use_tls=True)
assert "PLAIN" in client.loginmechs, client.loginmechs
ok(client.login("", login, password))
ok(client.havespace("main", 100))
ok(client.putscript("main", "require \"fileinto\";\r\nfileinto \"Ü\";\r\n"))
wrong = client.putscript("wrong", "keep;\r\n  fileinto \"x\";\r\n")
assert wrong == "NO" and "line 2, column 3" in str(client.response_text), (wrong, client.response_text)
status, scripts = ok(client.listscripts())
assert [tuple(script) for script in scripts] == [("main", False)], scripts
ok(client.setactive("main"))
assert ok(client.listscripts())[1][0][1], "active"
status, text = ok(client.getscript("main"))
assert "fileinto \"Ü\"" in text, text
assert client.deletescript("main") == "NO"
ok(client.putscript("kept", "keep;"))
ok(client.setactive("kept"))
ok(client.deletescript("main"))
assert client.getscript("main")[0] == "NO"
client.logout()
print("done")
