//! The owner of a data folder, and switching to that user.
//!
//! People often run commands as root. If a repair left files owned by root in a folder whose service runs as another
//! user, the service would not start: so a command run as root permanently switches to the folder's owner before
//! anything is opened.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;
use rustix::{
    fs::{Gid, Mode, Uid},
    process::{geteuid, umask},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// From here on what this process makes is readable by its own user only: mail, keys, the admin socket.
pub fn keep_to_ourselves() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Switches from root to the owner of the data folder, if another user owns it, and returns the owner's name. Must be
/// called while the process has one thread.
///
/// # Errors
/// The system's error if it refuses.
pub fn become_owner(data_dir: &Path) -> anyhow::Result<Option<String>> {
    let Ok(folder) = fs::metadata(data_dir) else { return Ok(None) };
    if !geteuid().is_root() || folder.uid() == 0 {
        return Ok(None);
    }
    let owner = user(&fs::read_to_string("/etc/passwd").unwrap_or_default(), folder.uid());
    let name = owner.as_ref().map_or_else(|| folder.uid().to_string(), |(name, _)| name.clone());
    let gid = owner.as_ref().map_or(folder.gid(), |(_, gid)| *gid);
    let mut groups = vec![gid];
    groups.extend(groups_of(&fs::read_to_string("/etc/group").unwrap_or_default(), &name));
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    let (uid, gid) = (Uid::from_raw(folder.uid()), Gid::from_raw(gid));
    // The user last: after that the rest would not be allowed.
    set_thread_groups(&groups)
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .with_context(|| format!("could not switch to user {name}, who owns {}", data_dir.display()))?;
    Ok(Some(name))
}

/// A warning if other users than the owner can access a data folder.
pub fn too_open(data_dir: &Path) -> Option<String> {
    let mode = fs::metadata(data_dir).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let dir = data_dir.display();
        format!("other users of this machine can read {dir} (mode {:03o}); run: chmod 700 {dir}", mode & 0o777)
    })
}

/// Name and group of a user, from the text of `/etc/passwd`.
fn user(passwd: &str, uid: u32) -> Option<(String, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (id.parse() == Ok(uid)).then(|| Some((name.to_owned(), gid.parse().ok()?)))?
    })
}

/// The groups that name a user as a member, from the text of `/etc/group`.
fn groups_of(group: &str, name: &str) -> Vec<u32> {
    let members = |line: &str| {
        let mut fields = line.split(':').skip(2);
        let (gid, members) = (fields.next()?, fields.next()?);
        members.split(',').any(|member| member == name).then(|| gid.parse().ok())?
    };
    group.lines().filter_map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_their_groups_are_found_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nholdfast:x:998:997::/var/lib/holdfast:/usr/sbin/nologin\n";
        assert_eq!(user(passwd, 998), Some(("holdfast".to_owned(), 997)));
        assert_eq!(user(passwd, 99), None);
        let group = "root:x:0:\nssl-cert:x:112:postgres,holdfast\nholdfast:x:997:\nbroken\n";
        assert_eq!(groups_of(group, "holdfast"), [112]);
        assert_eq!(groups_of(group, "hold"), [0; 0]);
    }

    #[test]
    fn a_folder_that_others_can_enter_is_named_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        set(0o700);
        assert_eq!(too_open(dir.path()), None);
        set(0o750);
        assert!(too_open(dir.path()).unwrap().contains("mode 750"));
        assert!(too_open(dir.path()).unwrap().contains("chmod 700"));
        assert_eq!(too_open(&dir.path().join("nothing")), None);
    }
}
