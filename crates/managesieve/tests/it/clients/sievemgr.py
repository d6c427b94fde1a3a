import io, ssl, sys
import sievemgr
from sievemgr import SieveManager, SieveOperationError
port, login, password, app = int(sys.argv[1]), *sys.argv[2:5]

class Manager(SieveManager):
    # It asks the DNS about names, so it is given an address, which the certificate does not have.
    sslcontext = ssl._create_unverified_context()

def refused(work, *args):
    try:
        work(*args)
    except SieveOperationError as error:
        return error
    raise SystemExit(f"not refused: {args}")

# SCRAM, with the proof of the server in the success.
for mechanism in [sievemgr.ScramSHA256Auth, sievemgr.PlainAuth, sievemgr.LoginAuth]:
    with Manager("127.0.0.1", port, ocsp=False) as manager:
        manager.authenticate(login, app, sasl=mechanism)
        assert manager.listscripts() == []
        manager.logout()
with Manager("127.0.0.1", port, ocsp=False) as manager:
    refused(lambda: manager.authenticate(login, "wrong", sasl=sievemgr.PlainAuth))
    manager.authenticate(login, password)
    assert manager.capabilities.starttls is False, manager.capabilities
    assert "fileinto" in manager.capabilities.sieve and manager.capabilities.version == "1.0"
    assert manager.capabilities.unauthenticate and manager.capabilities.maxredirects == 4, manager.capabilities
    manager.havespace("main", 1000)
    manager.checkscript("")
    script = "require \"fileinto\";\r\nfileinto \"Ü\";\r\n"
    manager.checkscript(script)
    assert "line 2, column 1" in str(refused(manager.checkscript, "keep;\r\nkeeep;\r\n"))
    manager.putscript(script, "main")
    manager.putscript(io.BytesIO(script.encode()), "two \"quoted\"")
    assert "line 1" in str(refused(manager.putscript, "stop", "main"))
    assert manager.listscripts() == [("main", False), ("two \"quoted\"", False)], manager.listscripts()
    manager.setactive("main")
    assert manager.getactive() == "main"
    assert manager.getscript("main").split() == script.split()
    assert refused(manager.deletescript, "main").matches("ACTIVE")
    assert refused(manager.renamescript, "main", "two \"quoted\"")
    manager.renamescript("main", "Zwëi", emulate=False)
    assert manager.getactive() == "Zwëi"
    assert refused(manager.getscript, "main").matches("NONEXISTENT")
    assert manager.noop("tag") == "tag"
    manager.unsetactive()
    manager.deletescript("Zwëi")
    manager.renamescript("two \"quoted\"", "kept", emulate=False)
    manager.setactive("kept")
    manager.unauthenticate()
    refused(manager.listscripts)
    manager.authenticate(login, password)
    manager.logout()
print("done")
