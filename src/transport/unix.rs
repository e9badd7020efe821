//! Unix sockets: whose they are, and who may connect.

use super::TransportError;
use crate::config::UnixSocket;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Listens on a Unix socket. A socket that a dead process left behind is
/// replaced; one that answers, and anything that isn't a socket, is not.
pub(super) async fn listen(socket: &UnixSocket) -> Result<UnixListener, TransportError> {
    let path = socket.path.as_path();
    make_folder(path)?;
    make_room(path).await?;
    let refused = |source| TransportError::Listen {
        address: path.display().to_string(),
        source,
    };
    let unbound = tokio::net::UnixSocket::new_stream().map_err(refused)?;
    unbound.bind(path).map_err(refused)?;
    // Until it listens nobody can connect, whatever its mode is by then.
    own(socket)?;
    unbound.listen(BACKLOG).map_err(refused)
}

fn make_folder(path: &Path) -> Result<(), TransportError> {
    let folder = path.parent();
    let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|source| TransportError::Folder {
        folder: folder.to_owned(),
        source,
    })
}

async fn make_room(path: &Path) -> Result<(), TransportError> {
    let Ok(existing) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let path = path.to_owned();
    if !existing.file_type().is_socket() {
        return Err(TransportError::NoSocket { path });
    }
    if UnixStream::connect(&path).await.is_ok() {
        return Err(TransportError::Busy { path });
    }
    fs::remove_file(&path).map_err(|source| TransportError::OldSocket { path, source })
}

/// The owner first: a change of owner may take mode bits away.
fn own(socket: &UnixSocket) -> Result<(), TransportError> {
    let path = || socket.path.clone();
    let (user, group) = (socket.owner.user, socket.owner.group);
    if user.is_some() || group.is_some() {
        let given = chown(&socket.path, user, group);
        given.map_err(|source: io::Error| TransportError::Owner {
            path: path(),
            source,
        })?;
    }
    let permissions = fs::Permissions::from_mode(socket.mode);
    let set = fs::set_permissions(&socket.path, permissions);
    set.map_err(|source| TransportError::Mode {
        path: path(),
        source,
    })
}
