//! ZIP files, as far as archives need them. Source: PKWARE APPNOTE 6.3.10; the sections stand at what they describe.
//!
//! What we write is stored, not compressed, so that where each byte lies follows from names and sizes alone: an archive is never put
//! together anywhere, it is read from its files as it is sent, whole or in ranges. What we read is a stranger's: every number is checked
//! before memory is taken for it.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flate2::read::DeflateDecoder;
use platform::Timestamp;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
/// Names are UTF-8 (§4.4.4, bit 11).
const UTF_8: u16 = 0x0800;
const ENCRYPTED: u16 = 0x0041;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
const LOCAL_BYTES: u64 = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;

/// A file to write: where its bytes are is the caller's.
#[derive(Clone, Debug)]
pub(crate) struct FileToWrite<T> {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    pub(crate) crc32: u32,
    pub(crate) content: T,
}

/// A ZIP as a sequence of pieces.
#[derive(Clone, Debug)]
pub(crate) struct Layout<T> {
    /// Where each begins, and what it is.
    pieces: Vec<(u64, Piece<T>)>,
    pub(crate) size_bytes: u64,
}

/// A piece of a ZIP: bytes of ours, or a file's.
#[derive(Clone, Debug)]
pub(crate) enum Piece<T> {
    Header(Bytes),
    File(T, u64),
}

impl<T> Piece<T> {
    fn size_bytes(&self) -> u64 {
        match self {
            Self::Header(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }
}

impl<T: Clone> Layout<T> {
    /// The ZIP of these files, in this order, all of one moment. The same files make the same bytes.
    pub(crate) fn new(files: impl IntoIterator<Item = FileToWrite<T>>, at: Timestamp) -> Self {
        let (mut layout, mut central, mut count) = (Self { pieces: Vec::new(), size_bytes: 0 }, Vec::new(), 0_u64);
        let at = dos_time(at);
        for file in files {
            let offset = layout.size_bytes;
            let path = file.path.as_bytes();
            // §4.3.7, and §4.5.3 for what does not fit into 32 bits.
            let large = file.size_bytes >= u64::from(u32::MAX);
            let mut extra = Vec::new();
            if large {
                put16(&mut extra, 1);
                put16(&mut extra, 16);
                put64(&mut extra, file.size_bytes);
                put64(&mut extra, file.size_bytes);
            }
            let mut header = Vec::new();
            put32(&mut header, LOCAL);
            put16(&mut header, if large { 45 } else { 20 });
            describe(&mut header, &file, at, large);
            put16(&mut header, short(path.len() as u64));
            put16(&mut header, short(extra.len() as u64));
            header.extend_from_slice(path);
            header.extend_from_slice(&extra);
            layout.push(Piece::Header(header.into()));

            // §4.3.12.
            let mut extra = Vec::new();
            let far = offset >= u64::from(u32::MAX);
            if large || far {
                put16(&mut extra, 1);
                put16(&mut extra, if large { 16 } else { 0 } + if far { 8 } else { 0 });
                if large {
                    put64(&mut extra, file.size_bytes);
                    put64(&mut extra, file.size_bytes);
                }
                if far {
                    put64(&mut extra, offset);
                }
            }
            put32(&mut central, CENTRAL);
            put16(&mut central, 3 << 8 | 45);
            put16(&mut central, if large || far { 45 } else { 20 });
            describe(&mut central, &file, at, large);
            put16(&mut central, short(path.len() as u64));
            put16(&mut central, short(extra.len() as u64));
            // No comment, first disk, no hints; a file that its owner reads and writes.
            central.extend_from_slice(&[0; 6]);
            put32(&mut central, 0o100_644 << 16);
            put32(&mut central, clipped(offset));
            central.extend_from_slice(path);
            central.extend_from_slice(&extra);
            layout.push(Piece::File(file.content, file.size_bytes));
            count += 1;
        }
        let (start, length) = (layout.size_bytes, central.len() as u64);
        if count >= u64::from(u16::MAX) || start >= u64::from(u32::MAX) || length >= u64::from(u32::MAX) {
            // §4.3.14, §4.3.15.
            let at = start + length;
            put32(&mut central, END_64);
            put64(&mut central, 44);
            put16(&mut central, 3 << 8 | 45);
            put16(&mut central, 45);
            put64(&mut central, 0);
            put64(&mut central, count);
            put64(&mut central, count);
            put64(&mut central, length);
            put64(&mut central, start);
            put32(&mut central, LOCATOR_64);
            put32(&mut central, 0);
            put64(&mut central, at);
            put32(&mut central, 1);
        }
        // §4.3.16.
        put32(&mut central, END);
        put32(&mut central, 0);
        put16(&mut central, short(count));
        put16(&mut central, short(count));
        put32(&mut central, clipped(length));
        put32(&mut central, clipped(start));
        put16(&mut central, 0);
        layout.push(Piece::Header(central.into()));
        layout
    }

    fn push(&mut self, piece: Piece<T>) {
        let size = piece.size_bytes();
        self.pieces.push((self.size_bytes, piece));
        self.size_bytes += size;
    }

    /// The pieces of a range, each with the part of it that is wanted.
    pub(crate) fn within(&self, range: &Range<u64>) -> Vec<(Piece<T>, Range<u64>)> {
        let first = self.pieces.partition_point(|(at, piece)| at + piece.size_bytes() <= range.start);
        let wanted = self.pieces[first..].iter().take_while(|(at, _)| *at < range.end);
        let parts = wanted.map(|(at, piece)| {
            let start = range.start.saturating_sub(*at);
            let end = (range.end - at).min(piece.size_bytes());
            (piece.clone(), start..end)
        });
        parts.filter(|(_, part)| part.start < part.end).collect()
    }
}

/// Flags to sizes: what both kinds of header say.
fn describe<T>(header: &mut Vec<u8>, file: &FileToWrite<T>, (date, time): (u16, u16), large: bool) {
    put16(header, UTF_8);
    put16(header, STORED);
    put16(header, time);
    put16(header, date);
    put32(header, file.crc32);
    let size = if large { u32::MAX } else { clipped(file.size_bytes) };
    put32(header, size);
    put32(header, size);
}

/// §4.4.6; before 1980 there is no time.
fn dos_time(at: Timestamp) -> (u16, u16) {
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let year = u16::try_from(at.year() - 1980).ok().filter(|year| *year < 128);
    let date = year.map(|year| year << 9 | u16::from(u8::from(at.month())) << 5 | u16::from(at.day()));
    let time = u16::from(at.hour()) << 11 | u16::from(at.minute()) << 5 | u16::from(at.second() / 2);
    (date.unwrap_or(1 << 5 | 1), time)
}

fn put16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn short(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

fn clipped(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// How much a stranger's archive may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZipLimits {
    /// Files and folders.
    pub(crate) entries: u64,
    /// Bytes of one file.
    pub(crate) file_bytes: u64,
    /// Bytes of all files.
    pub(crate) total_bytes: u64,
    /// Bytes of a file for one of its compressed ones.
    pub(crate) ratio: u64,
}

impl Default for ZipLimits {
    fn default() -> Self {
        Self { entries: 250_000, file_bytes: 4_000_000_000, total_bytes: 200_000_000_000, ratio: 250 }
    }
}

/// All files together may be so much larger than the archive, once they are more than this: media do not get smaller.
const RATIO_OF_ALL: u64 = 50;
const SMALL_BYTES: u64 = 100_000_000;
/// The most bytes of a directory of files, for one entry.
const DIRECTORY_BYTES: u64 = 1500;
/// The longest path, in bytes.
const MAX_PATH: usize = 1000;

/// Why an archive is not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipError {
    /// It is none, or its end is missing.
    #[error("this is no ZIP file, or its end is missing")]
    NotZip,
    /// A number in it cannot be.
    #[error("the ZIP file is damaged: {0}")]
    Damaged(&'static str),
    /// It has more in it than may be.
    #[error("the archive holds too much: {0}")]
    TooMuch(&'static str),
    /// Something that no archive needs.
    #[error("the archive holds {0}, which is not taken")]
    Refused(&'static str),
    /// A path that leads elsewhere.
    #[error("the archive holds a path that leads elsewhere: {0:?}")]
    Path(String),
    /// A path that is there twice.
    #[error("the archive holds {0:?} twice")]
    Twice(String),
    /// It could not be read.
    #[error("the archive could not be read")]
    Io(#[from] io::Error),
}

/// A stranger's ZIP, whose directory was checked.
#[derive(Clone, Debug)]
pub(crate) struct ZipArchive<R> {
    file: R,
    /// Shared, because whoever reads several files at a time clones the archive.
    entries: Arc<Vec<ZipEntry>>,
    by_path: Arc<HashMap<String, usize>>,
}

/// A file in it.
#[derive(Clone, Debug)]
pub(crate) struct ZipEntry {
    pub(crate) path: String,
    pub(crate) size_bytes: u64,
    packed_bytes: u64,
    crc32: u32,
    offset: u64,
    method: u16,
}

impl<R: Read + Seek> ZipArchive<R> {
    /// Reads the directory.
    pub(crate) fn open(mut file: R, limits: &ZipLimits) -> Result<Self, ZipError> {
        let size = file.seek(SeekFrom::End(0))?;
        let (start, length, count) = directory(&mut file, size, limits)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| ZipError::Damaged("its directory"))?];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(&mut bytes)?;
        let (mut rest, mut entries, mut paths) = (&bytes[..], Vec::new(), HashSet::new());
        let (mut total, mut places) = (0_u64, Vec::new());
        for _ in 0..count {
            let entry = central(&mut rest)?;
            if entry.size_bytes > limits.file_bytes {
                return Err(ZipError::TooMuch("a file is too large"));
            }
            if entry.size_bytes > 1_000_000 && entry.size_bytes / entry.packed_bytes.max(1) > limits.ratio {
                return Err(ZipError::TooMuch("a file is far larger than its compressed bytes"));
            }
            total = total.saturating_add(entry.size_bytes);
            if total > limits.total_bytes {
                return Err(ZipError::TooMuch("all of it together is too large"));
            }
            // Names that some machines hold to be the same are the same.
            if !paths.insert(entry.path.trim_end_matches('/').to_lowercase()) {
                return Err(ZipError::Twice(entry.path));
            }
            let least = LOCAL_BYTES + entry.path.len() as u64 + entry.packed_bytes;
            let end = entry.offset.checked_add(least).filter(|end| *end <= start);
            places.push((entry.offset, end.ok_or(ZipError::Damaged("a file lies outside of it"))?));
            if !entry.path.ends_with('/') {
                entries.push(entry);
            }
        }
        if !rest.is_empty() {
            return Err(ZipError::Damaged("its directory is longer than it says"));
        }
        if total > SMALL_BYTES && total / size > RATIO_OF_ALL {
            return Err(ZipError::TooMuch("its files are far larger than it"));
        }
        // Files that share bytes are how small archives become endless ones.
        places.sort_unstable();
        if places.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            return Err(ZipError::Damaged("files lie over each other"));
        }
        let named = entries.iter().enumerate().map(|(at, entry): (usize, &ZipEntry)| (entry.path.clone(), at));
        let by_path = Arc::new(named.collect());
        Ok(Self { file, entries: Arc::new(entries), by_path })
    }

    /// Its files, in the order of its directory.
    pub(crate) fn entries(&self) -> &[ZipEntry] {
        &self.entries
    }

    /// The place of a file among the entries.
    pub(crate) fn find(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    /// Reads a file. Whoever reads it to its end learns whether it is whole.
    pub(crate) fn read(&mut self, at: usize) -> Result<EntryReader<&mut R>, ZipError> {
        let entry = self.entries.get(at).ok_or(ZipError::Damaged("a file is missing"))?;
        EntryReader::begin(&mut self.file, entry)
    }

    /// The same for whoever keeps the reader longer than the archive.
    pub(crate) fn into_reader(self, at: usize) -> Result<EntryReader<R>, ZipError> {
        let entry = self.entries.get(at).ok_or(ZipError::Damaged("a file is missing"))?;
        EntryReader::begin(self.file, entry)
    }

    /// A whole file, of at most so many bytes.
    pub(crate) fn read_all(&mut self, at: usize, most: u64) -> Result<Vec<u8>, ZipError> {
        let size = self.entries.get(at).map_or(0, |entry| entry.size_bytes);
        if size > most {
            return Err(ZipError::TooMuch("a file is too large"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.read(at)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Where the directory lies, how long it is, and how many entries it has.
fn directory<R: Read + Seek>(file: &mut R, size: u64, limits: &ZipLimits) -> Result<(u64, u64, u64), ZipError> {
    let tail_bytes = size.min((END_BYTES + usize::from(u16::MAX)) as u64);
    let mut tail = vec![0; tail_bytes as usize];
    file.seek(SeekFrom::Start(size - tail_bytes))?;
    file.read_exact(&mut tail)?;
    let is_end = |at: &usize| {
        let record = &tail[*at..];
        record.starts_with(&END.to_le_bytes())
            && record.len() >= END_BYTES
            && usize::from(u16::from_le_bytes([record[20], record[21]])) == record.len() - END_BYTES
    };
    let at = (0..tail.len().saturating_sub(END_BYTES - 1)).rev().find(is_end).ok_or(ZipError::NotZip)?;
    let mut fields = &tail[at + 4..];
    let disks = take32(&mut fields)?;
    let (_, count) = (take16(&mut fields)?, take16(&mut fields)?);
    let (length, start) = (take32(&mut fields)?, take32(&mut fields)?);
    let mut found = (u64::from(start), u64::from(length), u64::from(count));
    let mut end = size - tail_bytes + at as u64;
    if count == u16::MAX || length == u32::MAX || start == u32::MAX {
        let locator = at.checked_sub(20).map(|at| &tail[at..at + 20]);
        if let Some(mut fields) = locator.filter(|locator| locator.starts_with(&LOCATOR_64.to_le_bytes())) {
            let _ = (take32(&mut fields)?, take32(&mut fields)?);
            let at = take64(&mut fields)?;
            if at.checked_add(56).is_none_or(|record| record > end) {
                return Err(ZipError::Damaged("its end lies outside of it"));
            }
            let mut record = [0; 56];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut record)?;
            let mut fields = &record[..];
            if take32(&mut fields)? != END_64 {
                return Err(ZipError::Damaged("its end"));
            }
            fields = &fields[20..];
            let (_, count) = (take64(&mut fields)?, take64(&mut fields)?);
            let (length, start) = (take64(&mut fields)?, take64(&mut fields)?);
            (found, end) = ((start, length, count), at);
        }
    }
    let (start, length, count) = found;
    if disks != 0 {
        return Err(ZipError::Refused("several volumes"));
    }
    if count > limits.entries || length > count.saturating_mul(DIRECTORY_BYTES) {
        return Err(ZipError::TooMuch("there are too many files in it"));
    }
    if start.checked_add(length) != Some(end) || length < count.saturating_mul(CENTRAL_BYTES as u64) {
        return Err(ZipError::Damaged("its directory lies outside of it"));
    }
    Ok(found)
}

/// One entry of the directory.
fn central(rest: &mut &[u8]) -> Result<ZipEntry, ZipError> {
    if take32(rest)? != CENTRAL {
        return Err(ZipError::Damaged("its directory"));
    }
    let (made_by, _) = (take16(rest)?, take16(rest)?);
    let (flags, method) = (take16(rest)?, take16(rest)?);
    let _moment = take32(rest)?;
    let crc32 = take32(rest)?;
    let (packed, size) = (take32(rest)?, take32(rest)?);
    let (name, extra, comment) = (take16(rest)?, take16(rest)?, take16(rest)?);
    let (disk, _) = (take16(rest)?, take16(rest)?);
    let (attributes, offset) = (take32(rest)?, take32(rest)?);
    let path =
        std::str::from_utf8(take(rest, name.into())?).map_err(|_| ZipError::Refused("a name in no known letters"))?;
    let path = path.to_owned();
    let mut extra = take(rest, extra.into())?;
    take(rest, comment.into())?;
    let (mut size_bytes, mut packed_bytes, mut offset_bytes) = (u64::from(size), u64::from(packed), u64::from(offset));
    while extra.len() >= 4 {
        let (id, length) = (take16(&mut extra)?, take16(&mut extra)?);
        let mut fields = take(&mut extra, length.into())?;
        if id == 1 {
            // §4.5.3: only what did not fit, in this order.
            for (short, long) in [(size, &mut size_bytes), (packed, &mut packed_bytes), (offset, &mut offset_bytes)] {
                if short == u32::MAX {
                    *long = take64(&mut fields)?;
                }
            }
        }
    }
    if disk != 0 {
        return Err(ZipError::Refused("several volumes"));
    }
    if flags & ENCRYPTED != 0 {
        return Err(ZipError::Refused("encrypted files"));
    }
    if method != STORED && method != DEFLATED {
        return Err(ZipError::Refused("files in a rare form of compression"));
    }
    if method == STORED && size_bytes != packed_bytes {
        return Err(ZipError::Damaged("a file has two sizes"));
    }
    // A system that knows links says what an entry is in the upper half.
    let kind = attributes >> 16 & 0o170_000;
    if made_by >> 8 == 3 && !matches!(kind, 0 | 0o100_000 | 0o040_000) {
        return Err(ZipError::Refused("a link or a device"));
    }
    if !leads_inside(&path) {
        return Err(ZipError::Path(path.chars().take(80).collect()));
    }
    if path.ends_with('/') && size_bytes != 0 {
        return Err(ZipError::Damaged("a folder has bytes"));
    }
    Ok(ZipEntry { path, size_bytes, packed_bytes, crc32, offset: offset_bytes, method })
}

/// Whether a path stays where it is unpacked, on every system.
pub(crate) fn leads_inside(path: &str) -> bool {
    let parts = path.strip_suffix('/').unwrap_or(path).split('/');
    !path.is_empty()
        && path.len() <= MAX_PATH
        && !path.contains(['\\', ':'])
        && !path.chars().any(char::is_control)
        && parts.clone().count() <= 32
        && parts.into_iter().all(|part| !matches!(part, "" | "." | ".."))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], ZipError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(ZipError::Damaged("it ends too early"))?;
    *rest = left;
    Ok(taken)
}

fn take16(rest: &mut &[u8]) -> Result<u16, ZipError> {
    let bytes = take(rest, 2)?;
    Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn take32(rest: &mut &[u8]) -> Result<u32, ZipError> {
    let low = u32::from(take16(rest)?);
    Ok(u32::from(take16(rest)?) << 16 | low)
}

fn take64(rest: &mut &[u8]) -> Result<u64, ZipError> {
    let low = u64::from(take32(rest)?);
    Ok(u64::from(take32(rest)?) << 32 | low)
}

/// A file as it is read: exactly as long as the directory says, with its checksum, or an error.
pub(crate) struct EntryReader<R> {
    plain: Plain<R>,
    left: u64,
    expected: u32,
    seen: crc32fast::Hasher,
}

/// A file's bytes, unpacked.
enum Plain<R> {
    Stored(Take<R>),
    Deflated(DeflateDecoder<Take<R>>),
}

impl<R: Read> Read for Plain<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Stored(plain) => plain.read(buffer),
            Self::Deflated(plain) => plain.read(buffer),
        }
    }
}

impl<R: Read + Seek> EntryReader<R> {
    fn begin(mut file: R, entry: &ZipEntry) -> Result<Self, ZipError> {
        file.seek(SeekFrom::Start(entry.offset))?;
        let mut header = [0; LOCAL_BYTES as usize];
        file.read_exact(&mut header)?;
        let mut fields = &header[..];
        let signature = take32(&mut fields)?;
        let (_version, flags, method) = (take16(&mut fields)?, take16(&mut fields)?, take16(&mut fields)?);
        // Times, sizes and the checksum are those of the directory.
        fields = &fields[16..];
        let (name, extra) = (take16(&mut fields)?, take16(&mut fields)?);
        let mut path = vec![0; usize::from(name)];
        file.read_exact(&mut path)?;
        if signature != LOCAL || method != entry.method || flags & ENCRYPTED != 0 || path != entry.path.as_bytes() {
            return Err(ZipError::Damaged("a file is not what the directory says"));
        }
        file.seek(SeekFrom::Current(i64::from(extra)))?;
        let packed = file.take(entry.packed_bytes);
        let plain = match entry.method {
            DEFLATED => Plain::Deflated(DeflateDecoder::new(packed)),
            _ => Plain::Stored(packed),
        };
        Ok(Self { plain, left: entry.size_bytes, expected: entry.crc32, seen: crc32fast::Hasher::new() })
    }
}

impl<R: Read> Read for EntryReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let damaged = |words| io::Error::new(io::ErrorKind::InvalidData, words);
        if self.left == 0 {
            // One byte more than was said would be a lie.
            if self.plain.read(&mut [0])? > 0 {
                return Err(damaged("a file is longer than it says"));
            }
            if self.seen.clone().finalize() != self.expected {
                return Err(damaged("a file is damaged"));
            }
            return Ok(0);
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.plain.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(damaged("a file is shorter than it says"));
        }
        self.seen.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn file(path: &str, content: &'static [u8]) -> FileToWrite<&'static [u8]> {
        let (size_bytes, crc32) = (content.len() as u64, crc32fast::hash(content));
        FileToWrite { path: path.into(), size_bytes, crc32, content }
    }

    fn bytes_of(layout: &Layout<&'static [u8]>, range: Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (piece, part) in layout.within(&range) {
            let part = part.start as usize..part.end as usize;
            match piece {
                Piece::Header(header) => bytes.extend_from_slice(&header[part]),
                Piece::File(content, _) => bytes.extend_from_slice(&content[part]),
            }
        }
        bytes
    }

    fn written(files: Vec<FileToWrite<&'static [u8]>>) -> Vec<u8> {
        let layout = Layout::new(files, Timestamp::from_seconds(1_790_000_000));
        bytes_of(&layout, 0..layout.size_bytes)
    }

    fn open(bytes: Vec<u8>) -> Result<ZipArchive<Cursor<Vec<u8>>>, ZipError> {
        ZipArchive::open(Cursor::new(bytes), &ZipLimits::default())
    }

    #[test]
    fn what_is_written_is_read_here_and_by_others() {
        let files =
            vec![file("manifest.json", b"{}"), file("media/\u{7a7a}.mp4", b"sky"), file("data/empty.jsonl", b"")];
        let zip = written(files);
        let mut ours = open(zip.clone()).unwrap();
        assert_eq!(ours.read_all(1, 10).unwrap(), b"sky");
        assert_eq!(ours.find("data/empty.jsonl"), Some(2));
        let mut theirs = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
        assert_eq!(theirs.len(), 3);
        let mut text = String::new();
        theirs.by_name("media/\u{7a7a}.mp4").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "sky");
    }

    #[test]
    fn every_range_is_a_part_of_the_whole() {
        let layout =
            Layout::new(vec![file("a", b"0123456789"), file("b", b""), file("c", b"xyz")], Timestamp::default());
        let whole = bytes_of(&layout, 0..layout.size_bytes);
        assert_eq!(whole.len() as u64, layout.size_bytes);
        for start in 0..layout.size_bytes {
            for end in start..=layout.size_bytes {
                assert_eq!(bytes_of(&layout, start..end), whole[start as usize..end as usize], "{start}..{end}");
            }
        }
    }

    #[test]
    fn large_archives_say_so_in_64_bits() {
        let huge = FileToWrite { path: "huge".into(), size_bytes: 5_000_000_000, crc32: 1, content: &b""[..] };
        let layout = Layout::new(vec![huge, file("after", b"x")], Timestamp::default());
        let tail = bytes_of(&layout, layout.size_bytes - 240..layout.size_bytes);
        assert!(tail.windows(4).any(|window| window == END_64.to_le_bytes()));
        let mut fields = &tail[tail.windows(4).position(|window| window == CENTRAL.to_le_bytes()).unwrap()..];
        let entry = central(&mut fields).unwrap();
        assert_eq!((entry.size_bytes, entry.packed_bytes, entry.offset), (5_000_000_000, 5_000_000_000, 0));
        let after = central(&mut fields).unwrap();
        assert!(after.offset > 5_000_000_000, "{after:?}");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in ["/etc/passwd", "../x", "a/../b", "a\\b", "C:x", "a//b", "./a", "a\0b", "a\nb", ""] {
            assert!(!leads_inside(path), "{path:?}");
        }
        for path in ["a", "a/b.mp4", "a/", "media/\u{7a7a}.mp4", "a..b/c"] {
            assert!(leads_inside(path), "{path:?}");
        }
        let refused = open(written(vec![file("../x", b"x")])).unwrap_err();
        assert!(matches!(refused, ZipError::Path(_)), "{refused}");
        let refused = open(written(vec![file("A", b"x"), file("a", b"y")])).unwrap_err();
        assert!(matches!(refused, ZipError::Twice(_)), "{refused}");
    }

    #[test]
    fn links_and_lies_are_refused() {
        let good = written(vec![file("a", b"hello"), file("b", b"world")]);
        let directory = good.windows(4).position(|window| window == CENTRAL.to_le_bytes()).unwrap();
        let check = |change: &dyn Fn(&mut Vec<u8>), words: &str| {
            let mut bytes = good.clone();
            change(&mut bytes);
            let error = match open(bytes) {
                Err(error) => error,
                Ok(mut archive) => archive.read_all(0, 100).unwrap_err(),
            };
            assert!(error.to_string().contains(words) || format!("{error:?}").contains(words), "{error:?}");
        };
        check(&|zip| zip[directory + 41] = 0o120_000_u16.to_be_bytes()[0], "link");
        check(&|zip| zip[directory + 8] |= 1, "encrypted");
        check(&|zip| zip[directory + 10] = 12, "compression");
        check(&|zip| zip[directory + 24] = 6, "two sizes");
        check(&|zip| zip[directory + 42] = 200, "outside");
        check(&|zip| zip[35] ^= 1, "damaged");
        check(&|zip| zip.truncate(60), "no ZIP");
        check(&|zip| zip.insert(good.len() - 22, 0), "outside");
        let second = directory + 46 + 1;
        check(&|zip| zip[second + 42] = 0, "over each other");
    }

    #[test]
    fn damaged_bytes_are_errors_and_never_panics() {
        let good = written(vec![file("manifest.json", b"{}"), file("media/a.mp4", b"a red boat"), file("b", b"")]);
        let try_all = |bytes: Vec<u8>| {
            let Ok(mut archive) = open(bytes) else { return 0 };
            (0..archive.entries().len()).filter(|at| archive.read_all(*at, 1000).is_ok()).count()
        };
        assert_eq!(try_all(good.clone()), 3);
        for at in 0..good.len() {
            for bits in [1, 0x80, 0xff] {
                let mut flipped = good.clone();
                flipped[at] ^= bits;
                try_all(flipped);
            }
            assert_eq!(try_all(good[..at].to_vec()), 0, "cut at {at}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_read() {
        use std::io::Write;
        let zeros = vec![0_u8; 3_000_000];
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&zeros).unwrap();
        let packed = packed.finish().unwrap();
        let content: &'static [u8] = packed.leak();
        let mut zip = written(vec![FileToWrite { crc32: crc32fast::hash(&zeros), ..file("bomb", content) }]);
        let directory = zip.windows(4).position(|window| window == CENTRAL.to_le_bytes()).unwrap();
        for at in [8, directory + 10] {
            zip[at..at + 2].copy_from_slice(&DEFLATED.to_le_bytes());
        }
        zip[directory + 24..directory + 28].copy_from_slice(&3_000_000_u32.to_le_bytes());
        let refused = open(zip.clone()).unwrap_err();
        assert!(matches!(refused, ZipError::TooMuch(_)), "{refused}");
        // One that lies about its size is found out as it is read.
        zip[directory + 24..directory + 28].copy_from_slice(&900_000_u32.to_le_bytes());
        assert!(open(zip).unwrap().read_all(0, 1_000_000).is_err());
        let many = ZipLimits { entries: 1, ..ZipLimits::default() };
        let two = written(vec![file("a", b""), file("b", b"")]);
        assert!(matches!(ZipArchive::open(Cursor::new(two), &many), Err(ZipError::TooMuch(_))));
    }
}
