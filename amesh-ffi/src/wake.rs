//! A socket at which workers wait for changes: each connection gets a byte after each publish.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The socket and who waits at it.
#[derive(Debug)]
pub(crate) struct Bell {
    path: PathBuf,
    /// The file, by which it is known again.
    inode: Option<u64>,
    listener: UnixListener,
    waiting: Vec<UnixStream>,
}

impl Bell {
    /// Makes the socket, in place of one that is there. Any user may connect: workers run as another user than we, and all
    /// that can be had here is that something has changed.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(file) if file.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file that is no socket",
                ));
            }
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
        Ok(Self {
            path: path.to_owned(),
            inode: fs::symlink_metadata(path).ok().map(|file| file.ino()),
            listener,
            waiting: Vec::new(),
        })
    }

    /// Takes connections, for ever.
    pub(crate) async fn take(&mut self) {
        loop {
            match self.listener.accept().await {
                Ok((worker, _)) => {
                    self.waiting.retain(is_there);
                    self.waiting.push(worker);
                }
                // Of files there may be too many open for a while.
                Err(_) => tokio::time::sleep(std::time::Duration::from_secs(1)).await,
            }
        }
    }

    /// Wakes all who wait. Nothing blocks: one whose bytes are not read is awake anyway.
    pub(crate) fn ring(&mut self) {
        self.waiting.retain(|worker| match worker.try_write(b"\n") {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        });
    }
}

/// Whether the other side has not hung up. Workers send nothing.
fn is_there(worker: &UnixStream) -> bool {
    match worker.try_read(&mut [0; 16]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // It may be a successor's by now.
        let inode = fs::symlink_metadata(&self.path).ok().map(|file| file.ino());
        if inode.is_some() && inode == self.inode {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    async fn take(bell: &mut Bell) {
        let moment = std::time::Duration::from_millis(50);
        let _ = tokio::time::timeout(moment, bell.take()).await;
    }

    #[tokio::test]
    async fn everyone_who_waits_is_woken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wake");
        let mut bell = Bell::new(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let mut first = UnixStream::connect(&path).await.unwrap();
        let second = UnixStream::connect(&path).await.unwrap();
        take(&mut bell).await;
        assert_eq!(bell.waiting.len(), 2);
        bell.ring();
        bell.ring();
        let mut read = [0; 2];
        first.read_exact(&mut read).await.unwrap();
        drop(second);
        // One who has gone is forgotten when the next one comes.
        let _third = UnixStream::connect(&path).await.unwrap();
        take(&mut bell).await;
        assert_eq!(bell.waiting.len(), 2);
    }

    #[tokio::test]
    async fn a_socket_that_was_left_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wake");
        let before = Bell::new(&path).unwrap();
        let after = Bell::new(&path).unwrap();
        // The one before leaves the socket of the one after alone.
        drop(before);
        assert!(path.exists());
        drop(after);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert!(Bell::new(&path).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn one_who_does_not_read_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut bell = Bell::new(&folder.path().join("wake")).unwrap();
        let _idle = UnixStream::connect(folder.path().join("wake")).await.unwrap();
        take(&mut bell).await;
        for _ in 0..1_000_000 {
            bell.ring();
        }
        assert_eq!(bell.waiting.len(), 1);
    }
}
