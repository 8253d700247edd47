//! The form of an object that is somebody's: a head that says whose it is, then the content in chunks of 64 KiB, each sealed for its
//! place with AES-256-GCM.
//!
//! The object's own key follows from the subject's and a random salt (HKDF-SHA256). A chunk's nonce is its number and whether it is the
//! last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár), and the whole head, with the size of the content in it, is
//! sealed with every chunk. So nothing can be changed, cut off, moved or put elsewhere unnoticed, and any bytes can be read without the rest.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use object_store::PutPayload;
use platform::{IdentityId, Owner};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, Tag, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

use crate::error::StoreError;
use crate::keyring::{KeyName, SubjectKey};
use crate::sealer::random;

/// How it begins. No picture, clip or text does.
const MAGIC: &[u8; 7] = b"MISORA\0";
/// The form that is written here, and the only one that is read.
const FORM: u8 = 1;
/// An owner's word is at most so long; zeros follow it.
const WORD_BYTES: usize = 16;
/// The whole head.
pub(crate) const HEAD_BYTES: usize = MAGIC.len() + 1 + 16 + WORD_BYTES + 4 + 16 + 8 + 32;
/// How much is sealed at once.
const CHUNK: usize = 64 * 1024;
const TAG: usize = MAX_TAG_LEN;

/// What stands before the content, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    key: KeyName,
    fingerprint: [u8; 16],
    size_bytes: u64,
    salt: [u8; 32],
}

/// Bytes as they come, of an object or its content.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, StoreError>>;

impl Head {
    /// The head at the beginning of an object; nothing if it is one that is not sealed, as earlier versions wrote them.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] if it is broken or of a later form.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, StoreError> {
        match bytes.strip_prefix(MAGIC) {
            Some(rest) => Self::read_fields(rest).map(Some).ok_or(StoreError::Unsealable),
            None => Ok(None),
        }
    }

    fn read_fields(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(&[FORM])?;
        let (identity, bytes) = bytes.split_first_chunk::<16>()?;
        let (word, bytes) = bytes.split_first_chunk::<WORD_BYTES>()?;
        let (number, bytes) = bytes.split_first_chunk::<4>()?;
        let (fingerprint, bytes) = bytes.split_first_chunk::<16>()?;
        let (size_bytes, bytes) = bytes.split_first_chunk::<8>()?;
        let salt = *bytes.first_chunk::<32>()?;
        let word = std::str::from_utf8(word).ok()?.trim_end_matches('\0');
        let (identity, owner) = (IdentityId::from_bytes(*identity), Owner::from_word(word)?);
        let key = KeyName { identity, owner, number: u32::from_be_bytes(*number) };
        Some(Self { key, fingerprint: *fingerprint, size_bytes: u64::from_be_bytes(*size_bytes), salt })
    }

    fn written(&self) -> [u8; HEAD_BYTES] {
        let mut word = [0; WORD_BYTES];
        let owner = self.key.owner.as_str().as_bytes();
        word[..owner.len()].copy_from_slice(owner);
        let parts: [&[u8]; 8] = [
            MAGIC,
            &[FORM],
            &self.key.identity.bytes(),
            &word,
            &self.key.number.to_be_bytes(),
            &self.fingerprint,
            &self.size_bytes.to_be_bytes(),
            &self.salt,
        ];
        parts.concat().try_into().expect("the parts have the head's length together")
    }

    /// The name of the key that opens it.
    pub(crate) fn key(&self) -> (KeyName, [u8; 16]) {
        (self.key, self.fingerprint)
    }

    /// The size of the content. Nothing vouches for it before a chunk was opened.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

/// Seals or opens one object.
pub(crate) struct Cipher {
    key: LessSafeKey,
    head: [u8; HEAD_BYTES],
    size_bytes: u64,
}

impl Cipher {
    /// For a new object.
    fn sealing(key: &SubjectKey, size_bytes: u64) -> Self {
        Self::new(&Head { key: key.name, fingerprint: key.fingerprint(), size_bytes, salt: random() }, key)
    }

    /// For an object that has this head and lies there with so many bytes.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] if those are not as many as the head says.
    pub(crate) fn opening(head: &Head, key: &SubjectKey, lying_bytes: u64) -> Result<Self, StoreError> {
        let cipher = Self::new(head, key);
        let fits = cipher.sealed_bytes() == Some(lying_bytes);
        if fits { Ok(cipher) } else { Err(StoreError::Unsealable) }
    }

    fn new(head: &Head, key: &SubjectKey) -> Self {
        let (written, salt) = (head.written(), Salt::new(HKDF_SHA256, &head.salt));
        let (secret, info) = (salt.extract(key.bytes()), [written.as_slice()]);
        let derived = secret.expand(&info, &AES_256_GCM).expect("a key is far shorter than what can be derived");
        Self { key: LessSafeKey::new(UnboundKey::from(derived)), head: written, size_bytes: head.size_bytes }
    }

    /// How many chunks there are: of an empty content one, which is empty.
    fn chunks(&self) -> u64 {
        self.size_bytes.div_ceil(CHUNK as u64).max(1)
    }

    /// How many bytes of content a chunk has.
    fn chunk_bytes(&self, index: u64) -> usize {
        let before = index.saturating_mul(CHUNK as u64);
        usize::try_from(self.size_bytes.saturating_sub(before)).map_or(CHUNK, |left| left.min(CHUNK))
    }

    /// How many bytes lie there; nothing if no object is so large.
    fn sealed_bytes(&self) -> Option<u64> {
        let tags = self.chunks().checked_mul(TAG as u64)?;
        self.size_bytes.checked_add(tags)?.checked_add(HEAD_BYTES as u64)
    }

    /// The chunks that hold a range of the content.
    fn chunks_of(range: &Range<u64>) -> Range<u64> {
        let first = range.start / CHUNK as u64;
        first..range.end.div_ceil(CHUNK as u64).max(first + 1)
    }

    /// Which of the bytes that lie there are needed for a range of the content, which must lie within it.
    pub(crate) fn sealed_range(&self, range: &Range<u64>) -> Range<u64> {
        let (chunks, sealed) = (Self::chunks_of(range), (CHUNK + TAG) as u64);
        let last_bytes = (self.chunk_bytes(chunks.end - 1) + TAG) as u64;
        let start = HEAD_BYTES as u64 + chunks.start * sealed;
        start..start + (chunks.end - 1 - chunks.start) * sealed + last_bytes
    }

    fn nonce(&self, index: u64) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[..8].copy_from_slice(&index.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(index + 1 == self.chunks());
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal_chunk(&self, index: u64, chunk: &mut [u8]) -> Tag {
        let sealed = self.key.seal_in_place_separate_tag(self.nonce(index), Aad::from(&self.head), chunk);
        sealed.expect("chunks are far shorter than what can be sealed")
    }

    /// Opens a chunk with its tag behind it; says how many bytes at its beginning are content.
    fn open_chunk(&self, index: u64, chunk: &mut [u8]) -> Result<usize, StoreError> {
        let opened = self.key.open_in_place(self.nonce(index), Aad::from(&self.head), chunk);
        opened.map(|content| content.len()).map_err(|_| StoreError::Unsealable)
    }

    /// Opens a whole object.
    pub(crate) fn open(&self, object: Bytes) -> Result<Bytes, StoreError> {
        let mut all = owned(object);
        let (mut from, mut to) = (HEAD_BYTES, 0);
        for index in 0..self.chunks() {
            let end = from + self.chunk_bytes(index) + TAG;
            let chunk = all.get_mut(from..end).ok_or(StoreError::Unsealable)?;
            let opened = self.open_chunk(index, chunk)?;
            all.copy_within(from..from + opened, to);
            (from, to) = (end, to + opened);
        }
        all.truncate(to);
        Ok(all.freeze())
    }

    /// Opens a range of the content, which must lie within it, from the bytes of [`Self::sealed_range`] as they come. A chunk lies in memory at a time.
    pub(crate) fn open_pieces(self, pieces: Pieces, range: Range<u64>) -> Pieces {
        struct Opening {
            cipher: Cipher,
            pieces: Gathered,
            chunks: Range<u64>,
            range: Range<u64>,
        }

        impl Opening {
            async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
                let Some(index) = self.chunks.next() else { return Ok(None) };
                let mut chunk = self.pieces.take(self.cipher.chunk_bytes(index) + TAG).await?;
                let opened = self.cipher.open_chunk(index, &mut chunk)?;
                chunk.truncate(opened);
                let place = |byte: u64| {
                    let inside = byte.saturating_sub(index * CHUNK as u64);
                    usize::try_from(inside).map_or(opened, |inside| inside.min(opened))
                };
                Ok(Some(chunk.freeze().slice(place(self.range.start)..place(self.range.end))))
            }
        }

        let chunks = Self::chunks_of(&range);
        let opening = Opening { cipher: self, pieces: Gathered::new(pieces), chunks, range };
        let next = |mut opening: Opening| async move {
            Ok::<_, StoreError>(opening.next().await?.map(|piece| (piece, opening)))
        };
        try_unfold(opening, next).boxed()
    }
}

/// Seals a content whole, in the memory that it lies in if nobody else has it.
pub(crate) fn seal(key: &SubjectKey, content: Bytes) -> PutPayload {
    let cipher = Cipher::sealing(key, content.len() as u64);
    let mut left = owned(content);
    let mut pieces = vec![Bytes::copy_from_slice(&cipher.head)];
    for index in 0..cipher.chunks() {
        let mut chunk = left.split_to(cipher.chunk_bytes(index));
        let tag = cipher.seal_chunk(index, &mut chunk);
        pieces.extend([chunk.freeze(), Bytes::copy_from_slice(tag.as_ref())]);
    }
    pieces.into_iter().collect()
}

/// Seals a content of this size as it comes. A chunk lies in memory at a time.
pub(crate) fn seal_pieces(key: &SubjectKey, size_bytes: u64, content: Pieces) -> Pieces {
    struct Sealing {
        cipher: Cipher,
        content: Gathered,
        chunks: Range<u64>,
    }

    impl Sealing {
        async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
            let Some(index) = self.chunks.next() else { return Ok(None) };
            let mut chunk = self.content.take(self.cipher.chunk_bytes(index)).await?;
            let tag = self.cipher.seal_chunk(index, &mut chunk);
            chunk.extend_from_slice(tag.as_ref());
            Ok(Some(chunk.freeze()))
        }
    }

    let cipher = Cipher::sealing(key, size_bytes);
    let head = Bytes::copy_from_slice(&cipher.head);
    let sealing = Sealing { chunks: 0..cipher.chunks(), content: Gathered::new(content), cipher };
    let next =
        |mut sealing: Sealing| async move { Ok::<_, StoreError>(sealing.next().await?.map(|piece| (piece, sealing))) };
    stream::iter([Ok(head)]).chain(try_unfold(sealing, next)).boxed()
}

/// What came of pieces and was not yet taken.
struct Gathered {
    pieces: Pieces,
    waiting: BytesMut,
}

impl Gathered {
    fn new(pieces: Pieces) -> Self {
        Self { pieces, waiting: BytesMut::new() }
    }

    /// The next so many bytes. It is damage if they do not come.
    async fn take(&mut self, bytes: usize) -> Result<BytesMut, StoreError> {
        while self.waiting.len() < bytes {
            let piece = self.pieces.try_next().await?.ok_or(StoreError::Unsealable)?;
            self.waiting.extend_from_slice(&piece);
        }
        Ok(self.waiting.split_to(bytes))
    }
}

/// Takes a head from the beginning of pieces: what it was, and the pieces behind it. Without one, all of them.
pub(crate) async fn take_head(mut pieces: Pieces) -> Result<(Option<Head>, Pieces), StoreError> {
    let mut begun = BytesMut::new();
    while begun.len() < HEAD_BYTES {
        match pieces.try_next().await? {
            Some(piece) => begun.extend_from_slice(&piece),
            None => break,
        }
    }
    let head = Head::read(&begun)?;
    if head.is_some() {
        begun.advance(HEAD_BYTES);
    }
    Ok((head, stream::iter([Ok(begun.freeze())]).chain(pieces).boxed()))
}

/// The same bytes to be changed: copied only if somebody else has them too.
fn owned(bytes: Bytes) -> BytesMut {
    bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

#[cfg(test)]
mod tests {
    use platform::{Service, Timestamp};

    use super::*;

    const WHOLE: usize = CHUNK + TAG;

    fn key(byte: u8) -> SubjectKey {
        let identity = IdentityId::new(Timestamp::from_seconds(1_790_000_000), [byte; 8]);
        SubjectKey::of(KeyName { identity, owner: Service::Video.into(), number: 1 }, [byte; 32])
    }

    /// Bytes of which no chunk is like another.
    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
    }

    fn sealed(key: &SubjectKey, content: &[u8]) -> Vec<u8> {
        Bytes::from(seal(key, Bytes::copy_from_slice(content))).to_vec()
    }

    fn cipher(key: &SubjectKey, object: &[u8]) -> Result<Cipher, StoreError> {
        let head = Head::read(object)?.ok_or(StoreError::Unsealable)?;
        Cipher::opening(&head, key, object.len() as u64)
    }

    fn opened(key: &SubjectKey, object: &[u8]) -> Result<Bytes, StoreError> {
        cipher(key, object)?.open(Bytes::copy_from_slice(object))
    }

    /// Pieces of an odd size.
    fn pieces(bytes: &[u8], size: usize) -> Pieces {
        let all: Vec<_> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        stream::iter(all).boxed()
    }

    async fn all(pieces: Pieces) -> Result<Vec<u8>, StoreError> {
        Ok(pieces.try_collect::<Vec<_>>().await?.concat())
    }

    async fn opened_range(key: &SubjectKey, object: &[u8], range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let cipher = cipher(key, object)?;
        let lying = cipher.sealed_range(&range);
        all(cipher.open_pieces(pieces(&object[lying.start as usize..lying.end as usize], 1000), range)).await
    }

    /// Sizes about the ends of chunks.
    const SIZES: [usize; 8] = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK - 1];

    #[tokio::test]
    async fn what_is_sealed_opens_whole_and_in_pieces() {
        for size in SIZES {
            let content = content(size);
            let object = sealed(&key(1), &content);
            assert_eq!(object.len(), HEAD_BYTES + size + size.div_ceil(CHUNK).max(1) * TAG);
            assert_eq!(opened(&key(1), &object).unwrap(), content, "{size}");
            let streamed = all(seal_pieces(&key(1), size as u64, pieces(&content, 1000))).await.unwrap();
            assert_eq!(streamed.len(), object.len());
            assert_ne!(streamed, object, "each has its own salt");
            for object in [&object, &streamed] {
                let (head, rest) = take_head(pieces(object, 1000)).await.unwrap();
                assert_eq!(head.unwrap().size_bytes(), size as u64);
                let cipher = cipher(&key(1), object).unwrap();
                assert_eq!(all(cipher.open_pieces(rest, 0..size as u64)).await.unwrap(), content, "{size}");
            }
        }
    }

    #[tokio::test]
    async fn any_range_opens_without_the_rest() {
        for size in SIZES {
            let content = content(size);
            let object = sealed(&key(1), &content);
            let ends = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, size];
            for start in ends {
                for end in ends.into_iter().filter(|end| start < *end && *end <= size) {
                    let range = start as u64..end as u64;
                    let needed = cipher(&key(1), &object).unwrap().sealed_range(&range);
                    assert!(needed.end - needed.start <= ((end - start).div_ceil(CHUNK) + 1) as u64 * WHOLE as u64);
                    let part = opened_range(&key(1), &object, range).await.unwrap();
                    assert!(part == content[start..end], "{start}..{end} of {size}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_the_content_can_be_seen() {
        let marked = b"a marked sentence".repeat(5000);
        let object = sealed(&key(1), &marked);
        assert!(!object.windows(8).any(|window| window == b"a marked"));
    }

    #[test]
    fn one_flipped_bit_is_told() {
        let content = content(CHUNK + 20);
        let object = sealed(&key(1), &content);
        // All of the head and the tags, and some of the rest.
        let tags = [HEAD_BYTES + CHUNK, object.len() - TAG].into_iter().flat_map(|tag| tag..tag + TAG);
        let places = (0..HEAD_BYTES).chain(tags).chain((HEAD_BYTES..object.len()).step_by(997));
        for place in places {
            let mut changed = object.clone();
            changed[place] ^= 1;
            assert!(opened(&key(1), &changed).is_err(), "{place}");
        }
    }

    #[tokio::test]
    async fn nothing_can_be_cut_off_or_added() {
        let object = sealed(&key(1), &content(2 * CHUNK + 5));
        let ends = [0, HEAD_BYTES, HEAD_BYTES + WHOLE, HEAD_BYTES + 2 * WHOLE, object.len()];
        for end in ends.into_iter().flat_map(|end| end.saturating_sub(1)..=end + 1).filter(|end| *end < object.len()) {
            assert!(opened(&key(1), &object[..end]).is_err(), "{end}");
        }
        assert!(opened(&key(1), &[&object[..], &[0]].concat()).is_err());
        // A head that says less, so that the length fits: the chunk before the end is not the last.
        let mut shorter = object[..HEAD_BYTES + 2 * WHOLE].to_vec();
        let size_at = HEAD_BYTES - 32 - 8;
        shorter[size_at..size_at + 8].copy_from_slice(&(2 * CHUNK as u64).to_be_bytes());
        assert!(cipher(&key(1), &shorter).is_ok());
        assert!(opened(&key(1), &shorter).is_err());
        assert!(opened_range(&key(1), &shorter, 0..5).await.is_err());
        // Pieces that end too soon.
        let whole = cipher(&key(1), &object).unwrap();
        let cut = whole.open_pieces(pieces(&object[HEAD_BYTES..object.len() - 1], 1000), 0..2 * CHUNK as u64 + 5);
        assert!(all(cut).await.is_err());
        let content = content(10);
        assert!(all(seal_pieces(&key(1), 11, pieces(&content, 3))).await.is_err());
        // A size that no object has.
        shorter[size_at..size_at + 8].copy_from_slice(&[0xff; 8]);
        assert!(cipher(&key(1), &shorter).is_err());
    }

    #[test]
    fn chunks_stay_in_their_place_and_object() {
        let content = content(3 * CHUNK);
        let [first, second] = [sealed(&key(1), &content), sealed(&key(1), &content)];
        let chunk = |index: usize| HEAD_BYTES + index * WHOLE..HEAD_BYTES + (index + 1) * WHOLE;
        let mut swapped = first.clone();
        swapped[chunk(0)].copy_from_slice(&first[chunk(1)]);
        swapped[chunk(1)].copy_from_slice(&first[chunk(0)]);
        assert!(opened(&key(1), &swapped).is_err());
        let mut repeated = first.clone();
        repeated[chunk(1)].copy_from_slice(&first[chunk(0)]);
        assert!(opened(&key(1), &repeated).is_err());
        let mut mixed = first.clone();
        mixed[chunk(1)].copy_from_slice(&second[chunk(1)]);
        assert!(opened(&key(1), &mixed).is_err());
        // The head of another object of the same size.
        let mut headed = first;
        headed[..HEAD_BYTES].copy_from_slice(&second[..HEAD_BYTES]);
        assert!(opened(&key(1), &headed).is_err());
    }

    #[tokio::test]
    async fn another_key_opens_nothing_and_what_is_not_sealed_is_left_alone() {
        let object = sealed(&key(1), b"content");
        assert!(opened(&key(2), &object).is_err());
        for plain in [b"".as_slice(), b"MISORA", &[b'x'; 5000]] {
            assert_eq!(Head::read(plain).unwrap(), None);
            let (head, rest) = take_head(pieces(plain, 7)).await.unwrap();
            assert_eq!((head, all(rest).await.unwrap().as_slice()), (None, plain));
        }
        let mut later = object.clone();
        later[MAGIC.len()] = FORM + 1;
        assert!(matches!(Head::read(&later), Err(StoreError::Unsealable)));
        let head = Head::read(&object).unwrap().unwrap();
        assert_eq!((head.key(), head.size_bytes()), ((key(1).name, key(1).fingerprint()), 7));
    }
}
