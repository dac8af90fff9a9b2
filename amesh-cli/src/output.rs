//! Writing: to standard output, where a reader may leave early, or to a file, which is replaced whole or not at all.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::input::plain;

/// Writes to standard output without colours. A reader that closes the pipe has seen enough: that is no error.
pub(crate) fn to_stdout(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    finish(write, io::stdout().lock())
}

/// Writes to standard output, with colours where it is a terminal that shows them.
pub(crate) fn to_terminal(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    finish(write, anstream::stdout().lock())
}

/// Writes one of many events to standard output, at once. False when nobody reads them any longer.
pub(crate) fn event(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<bool, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, anstream::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            drop(out.into_parts());
            Ok(false)
        }
        Err(error) => Err(unwritable(&error)),
    }
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::output(format!("failed to write to standard output: {}", plain(error)))
}

fn finish(write: impl FnOnce(&mut dyn Write) -> io::Result<()>, stream: impl Write) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, stream);
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is left in the buffer has no reader.
            drop(out.into_parts());
            Ok(())
        }
        Err(error) => Err(unwritable(&error)),
        Ok(()) => Ok(()),
    }
}

/// Replaces a file in one step: whoever reads it sees the old content or the new one, never a part.
///
/// The new content is written beside the file and renamed over it. Permissions of an existing file are kept, a
/// symbolic link stays one. What cannot be replaced, a pipe or `/dev/stdout`, is written to.
pub(crate) fn to_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    replace(path, write)
        .map_err(|error| Failure::output(format!("failed to write {}: {}", path.display(), reason(path, &error))))
}

/// Fails where a file could never be written, so that a long command says so at its beginning.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let error = if path.is_dir() {
        io::Error::from(io::ErrorKind::IsADirectory)
    } else if parent(path).is_dir() {
        return Ok(());
    } else {
        io::Error::from(io::ErrorKind::NotFound)
    };
    Err(Failure::output(format!(
        "failed to write {}: {}",
        path.display(),
        reason(path, &error)
    )))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let existing = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            let mut out = BufWriter::new(fs::OpenOptions::new().write(true).open(path)?);
            return match write(&mut out).and_then(|()| out.flush()) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    drop(out.into_parts());
                    Ok(())
                }
                done => done,
            };
        }
        Ok(metadata) => Some(metadata.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let target = if existing.is_some() {
        fs::canonicalize(path)?
    } else {
        path.to_owned()
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".amesh-");
    // A temporary file is private by default; the configuration of a gateway is not, as far as the umask says so.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut out = BufWriter::with_capacity(1 << 16, builder.tempfile_in(parent(&target))?);
    write(&mut out)?;
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    if let Some(permissions) = existing {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn reason(path: &Path, error: &io::Error) -> String {
    let parent = parent(path);
    if error.kind() == io::ErrorKind::NotFound && !parent.exists() {
        return format!("the directory {} does not exist", parent.display());
    }
    plain(error)
}
