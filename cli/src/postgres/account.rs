//! Whom Postgres runs as: ourselves, or, since it refuses root, an unprivileged user of the machine.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::Path,
};

use super::PostgresError;

/// A user and group to run Postgres as, where it is not the one we run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether this process is root.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Account {
    /// The account to use for `cluster`: the owner of one that exists, else `nobody`; `None` unless we are root.
    pub(super) fn choose(cluster: &Path) -> Result<Option<Self>, PostgresError> {
        if !is_root() {
            return Ok(None);
        }
        if let Ok(there) = fs::metadata(cluster)
            && there.uid() != 0
        {
            return Ok(Some(Self { uid: there.uid(), gid: there.gid() }));
        }
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).map_err(PostgresError::files("reading", passwd))?;
        named("nobody", &text).map(Some).ok_or(PostgresError::NoAccount)
    }

    /// Whether the mode bits let this account pass through `dir` and everything above it. Access lists are not looked at.
    pub(super) fn reaches(self, dir: &Path) -> bool {
        dir.ancestors().filter(|at| !at.as_os_str().is_empty()).all(|at| {
            fs::metadata(at).is_ok_and(|meta| {
                let bit = match (meta.uid() == self.uid, meta.gid() == self.gid) {
                    (true, _) => 0o100,
                    (false, true) => 0o010,
                    (false, false) => 0o001,
                };
                meta.mode() & bit != 0
            })
        })
    }

    /// Gives `path` to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), PostgresError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(PostgresError::files("giving away", path))
    }
}

/// Finds a user in the text of `/etc/passwd` (passwd(5): `name:password:uid:gid:…`).
fn named(name: &str, passwd: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn finds_a_user_by_its_whole_name_and_never_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\nnobody2:x:7:7::/:/bin/sh\nnobody:x:65534:65533:n:/nonexistent:/usr/sbin/nologin\n";
        assert_eq!(named("nobody", passwd), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(named("root", passwd), None);
        assert_eq!(named("postgres", passwd), None);
    }

    #[test]
    fn a_private_parent_is_not_reached() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let stranger = Account { uid: 4_000_000, gid: 4_000_000 };
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.reaches(&inner));
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.reaches(&inner));
    }
}
