//! A second machine follows, compares, is damaged or deceived, and takes over: real processes over real sockets.

mod damage;
mod failover;
mod following;
mod tripwires;
mod waiting;

use crate::support::{
    Server,
    standby::{Primary, primary},
};

const ANNA: &str = "anna@example.org";
const BERT: &str = "bert@example.org";
const SYNC: &str = "[standby]\nmode = \"sync\"\nwhen_away = \"wait\"\n";

struct Machines {
    dirs: [tempfile::TempDir; 2],
    primary: Primary,
}

fn machines(more: &str) -> Machines {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let primary = primary(dirs[0].path(), "");
    for address in [ANNA, BERT] {
        primary.server.add_account(address);
    }
    if more.is_empty() {
        return Machines { dirs, primary };
    }
    // Accounts are made before commits wait for a standby that is not there yet.
    let address = primary.address;
    primary.server.stop();
    let server = Server::start_with_env(dirs[0].path(), more, &[("HOLDFAST_LISTEN__STANDBY", address.to_string())]);
    Machines { dirs, primary: Primary { server, address } }
}
