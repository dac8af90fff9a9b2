//! Reading what the user names: a file, or `-` for standard input.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use amesh_core::dump::{self, Dump};
use clap::Args;

use crate::failure::Failure;
use crate::progress::Progress;

/// Bytes read at a time, between two looks at the progress bar.
const CHUNK: u64 = 1 << 20;

/// A dump to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Source {
    /// `-` is standard input.
    #[expect(clippy::unnecessary_wraps, reason = "clap wants a parser that may fail")]
    pub(crate) fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(if text == "-" {
            Self::Stdin
        } else {
            Self::File(text.into())
        })
    }

    fn open(&self) -> io::Result<(Box<dyn Read>, Option<u64>)> {
        match self {
            Self::File(path) => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::Error::from(io::ErrorKind::IsADirectory));
                }
                // The length of a pipe or a device says nothing.
                let length = metadata.is_file().then_some(metadata.len());
                Ok((Box::new(file), length))
            }
            Self::Stdin => Ok((Box::new(io::stdin().lock()), None)),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("standard input"),
        }
    }
}

/// How much input is taken.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limit {
    /// Refuse input of more than this many mebibytes
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..))]
    max_input: u64,
}

impl Limit {
    /// Reads a dump.
    pub(crate) fn read(&self, source: &Source, progress: &Progress) -> Result<Dump, Failure> {
        let bytes = self
            .bytes(source, progress)
            .map_err(|error| Failure::input(format!("failed to read {source}: {}", plain(&error))))?
            .ok_or_else(|| {
                Failure::input(format!("{source} holds more than {} MiB", self.max_input))
                    .help("raise the limit with --max-input MIB")
            })?;
        progress.phase(format!("decoding {source}"));
        dump::read(&bytes).map_err(|error| Failure::input(format!("failed to understand {source}: {error}")))
    }

    /// The bytes; `None` when there are more than the limit allows.
    fn bytes(&self, source: &Source, progress: &Progress) -> io::Result<Option<Vec<u8>>> {
        let limit = self.max_input.saturating_mul(1 << 20);
        let (mut input, length) = source.open()?;
        if length.is_some_and(|length| length > limit) {
            return Ok(None);
        }
        match length {
            Some(length) => progress.reading(format!("reading {source}"), length),
            None => progress.phase(format!("reading {source}")),
        }
        let mut bytes = Vec::with_capacity(length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
        loop {
            let before = bytes.len() as u64;
            if input.by_ref().take(CHUNK).read_to_end(&mut bytes)? == 0 {
                return Ok(Some(bytes));
            }
            if bytes.len() as u64 > limit {
                return Ok(None);
            }
            progress.at(before);
        }
    }
}

/// The system's message without `(os error 2)`.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text
        .split_once(" (os error")
        .map_or(text.as_str(), |(message, _)| message);
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
