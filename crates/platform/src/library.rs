//! What holds for the library of everyone: how much at once, and how long the trash keeps.

use std::time::Duration;

/// Days that a clip lies in the trash before it goes for good.
pub const TRASH_DAYS: u64 = 30;

/// The same, as a time.
pub const TRASH_TIME: Duration = Duration::from_secs(TRASH_DAYS * 86_400);

/// The most clips that one act is about.
pub const MAX_PICKED: usize = 100;

/// The most folders of one person.
pub const MAX_FOLDERS: u32 = 100;
