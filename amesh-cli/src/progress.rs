//! A sign of life on a terminal for work that takes more than a second.

use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Work that is over sooner shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is being done, drawn on the error stream: a spinner, or a bar while a file of known length is read.
///
/// Nothing is drawn when the error stream is no terminal, or when the work is over within a second.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts the clock.
    pub(crate) fn start(quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        bar.set_style(ProgressStyle::default_spinner());
        let late = bar.downgrade();
        std::thread::spawn(move || {
            std::thread::sleep(PATIENCE);
            // Gone when the work is over.
            if let Some(bar) = late.upgrade() {
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar.enable_steady_tick(Duration::from_millis(100));
            }
        });
        Self { bar }
    }

    /// Says what is being done now.
    pub(crate) fn phase(&self, what: impl Into<Cow<'static, str>>) {
        self.bar.set_style(ProgressStyle::default_spinner());
        self.bar.set_message(what);
    }

    /// Does something while nothing is drawn, so that what it prints stands by itself.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bar.suspend(work)
    }

    /// Says that so many bytes are being read now.
    pub(crate) fn reading(&self, what: impl Into<Cow<'static, str>>, bytes: u64) {
        let style = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}");
        self.bar
            .set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(bytes);
        self.bar.set_message(what);
    }

    /// So many bytes have been read.
    pub(crate) fn at(&self, bytes: u64) {
        self.bar.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
