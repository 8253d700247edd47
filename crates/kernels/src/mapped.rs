//! Files of weights as memory that the system fills when it is read.

use std::fs::File;
use std::ops::Deref;

use memmap2::Mmap;

/// The bytes of a file, read when they are looked at and given back when memory is short.
#[derive(Debug)]
pub struct MappedFile(Mmap);

impl MappedFile {
    /// Maps a file that nobody changes while it is open. If somebody does, what is read are other numbers; if somebody
    /// makes it shorter, reading past its new end ends the program.
    ///
    /// # Errors
    /// Those of the system; an empty file cannot be mapped on every one.
    pub fn open(file: &File) -> std::io::Result<Self> {
        // SAFETY: the map is private to this process and read only as bytes, for which every value is valid. A file that
        // changes meanwhile is the owner's doing, which the documentation of this function says.
        #[expect(unsafe_code, reason = "memory that others could change")]
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(map))
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
