import sys
from sievelib.managesieve import Client
port, login, password, app = int(sys.argv[1]), *sys.argv[2:5]

def connect(mechanism, password):
    client = Client("localhost", port)
    return client, client.connect(login, password, starttls=True, authmech=mechanism)

for mechanism in ["PLAIN", "LOGIN", None]:
    client, entered = connect(mechanism, password)
    assert entered, (mechanism, client.errmsg)
    assert "fileinto" in client.get_sieve_capabilities()
    client.logout()
client, entered = connect("PLAIN", "wrong")
assert not entered
client, entered = connect("PLAIN", app)
assert entered, client.errmsg
assert client.havespace("main", 1000)
script = "require [\"fileinto\"];\r\nif header :contains \"subject\" \"Ü\" {\r\n  fileinto \"A\";\r\n}\r\n"
assert client.checkscript(script), client.errmsg
assert not client.checkscript("keep;\r\nkeeep;\r\n") and b"line 2, column 1" in client.errmsg, client.errmsg
assert client.putscript("main", script), client.errmsg
assert not client.putscript("wrong", "stop\r\n"), "a wrong script"
assert client.listscripts() in [("", ["main"]), (None, ["main"])], client.listscripts()
assert client.setactive("main")
assert client.listscripts() == ("main", []), client.listscripts()
assert client.getscript("main").split() == script.split(), client.getscript("main")
assert client.renamescript("main", "Zwëi"), client.errmsg
assert client.listscripts() == ("Zwëi", []), client.listscripts()
assert not client.deletescript("Zwëi"), "the active one"
assert client.putscript("kept", "keep;\r\n")
assert client.setactive("") and client.setactive("kept")
assert client.deletescript("Zwëi"), client.errmsg
assert client.getscript("Zwëi") is None
client.logout()
print("done")
