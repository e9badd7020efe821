//! Opening the sockets that Envoy connects to.

use anyhow::{Context, bail};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// Who may connect: the sidecar's own user and group (Envoy's).
const SOCKET_MODE: u32 = 0o660;

/// Listens on a Unix socket. A socket that a dead process left behind is
/// replaced; one that answers, and anything that isn't a socket, is not.
pub(super) async fn unix(path: &Path) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    if let Ok(existing) = fs::symlink_metadata(path) {
        if !existing.file_type().is_socket() {
            bail!("{} exists and is not a socket", path.display());
        }
        if UnixStream::connect(path).await.is_ok() {
            bail!("another process is listening on {}", path.display());
        }
        fs::remove_file(path)
            .with_context(|| format!("can't remove the old socket {}", path.display()))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("can't listen on {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))
        .with_context(|| format!("can't set the mode of {}", path.display()))?;
    Ok(listener)
}

pub(super) async fn tcp(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("can't listen on {address}"))
}
