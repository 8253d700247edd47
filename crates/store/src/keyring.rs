//! Keys of what is somebody's: one for each person and service, so that erasing a service reaches every copy of its media, those in
//! backups too, by destroying one key. What is of the account and no service alone, such as an archive's rows, has one of the account.
//!
//! A key lies in the place of the objects under `keyring/USER/OWNER/NUMBER`, sealed with the installation's key. Destroyed, a tombstone
//! with the moment of it takes its place in one step. Whoever comes back gets the next number, so a newest number that is a tombstone means
//! that nothing is kept. Backups of rows and media leave keys out: [`crate::backup_keys`] copies them.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use platform::{IdentityId, Owner, Service, Timestamp};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::error::{StoreError, corrupt};
use crate::sealer::{Sealer, random};

/// Where keys lie among the objects.
pub(crate) const FOLDER: &str = "keyring";

/// How long a key that was read is taken for true. Another node may have destroyed it meanwhile, and what is erased is refused everywhere
/// within 5 seconds.
const TRUSTED: Duration = Duration::from_secs(3);

/// How often others may come first before it counts as a failure. Each time, what they did is seen.
const TRIES: usize = 8;

/// Keys that are read at a time when all are.
const AT_A_TIME: usize = 32;

/// Whose an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The person.
    pub identity: IdentityId,
    /// The service that it is kept for.
    pub service: Service,
    /// When the work began that it comes from. If the person's service was erased after that, the object is refused, so that what a
    /// worker was still making leaves nothing behind.
    pub since: Timestamp,
}

/// The same of anything that has a key: a service, or the account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    pub(crate) identity: IdentityId,
    pub(crate) owner: Owner,
    pub(crate) since: Timestamp,
}

impl From<Subject> for Holder {
    fn from(Subject { identity, service, since }: Subject) -> Self {
        Self { identity, owner: service.into(), since }
    }
}

/// The keys of all subjects. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Keyring {
    store: Arc<dyn ObjectStore>,
    sealer: Option<Sealer>,
    /// Keys that were read, and when that began.
    trusted: Arc<Mutex<HashMap<KeyName, (Instant, SubjectKey)>>>,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyName {
    pub(crate) identity: IdentityId,
    pub(crate) owner: Owner,
    pub(crate) number: u32,
}

/// A key and its name. `Debug` prints the name alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SubjectKey {
    pub(crate) name: KeyName,
    bytes: [u8; 32],
}

/// What lies under the name of a key.
enum Kept {
    Key(SubjectKey),
    Destroyed(Timestamp),
}

impl Keyring {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, sealer: None, trusted: Arc::default() }
    }

    pub(crate) fn sealed_with(self, sealer: Sealer) -> Self {
        Self { sealer: Some(sealer), ..self }
    }

    fn sealer(&self) -> Result<&Sealer, StoreError> {
        self.sealer.as_ref().ok_or(StoreError::NoSealer)
    }

    /// The key that new objects of someone are sealed with, made if there is none. Several may ask at once and all get the same.
    ///
    /// # Errors
    /// [`StoreError::Erased`] if the owner was erased after the work began.
    pub(crate) async fn writing(&self, holder: impl Into<Holder>) -> Result<SubjectKey, StoreError> {
        let Holder { identity, owner, since } = holder.into();
        for _ in 0..TRIES {
            let kept = self.kept(identity, owner).await?;
            if kept.values().any(|kept| matches!(kept, Kept::Destroyed(at) if *at > since)) {
                return Err(StoreError::Erased);
            }
            let number = match kept.last_key_value() {
                Some((_, Kept::Key(key))) => return Ok(key.clone()),
                newest => newest.map_or(0, |(number, _)| *number) + 1,
            };
            let key = SubjectKey { name: KeyName { identity, owner, number }, bytes: random() };
            if self.put(key.name, self.written(&key)?, PutMode::Create).await? {
                return Ok(key);
            }
        }
        Err(contended())
    }

    /// The key of an object, by its name and its fingerprint.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if it was destroyed, or is another one since a keyring was lost: the object cannot be read any more.
    pub(crate) async fn reading(&self, name: KeyName, fingerprint: [u8; 16]) -> Result<SubjectKey, StoreError> {
        let begun = Instant::now();
        let key = match self.trusted_at(name, begun) {
            Some(key) => key,
            None => match self.load(name).await? {
                Some(Kept::Key(key)) => {
                    self.trust(&key, begun);
                    key
                }
                Some(Kept::Destroyed(_)) | None => return Err(StoreError::NotFound("object")),
            },
        };
        if key.fingerprint() == fingerprint { Ok(key) } else { Err(StoreError::NotFound("object")) }
    }

    /// Destroys a subject's key and remembers when, also if there never was one. Doing it again changes nothing; broken off, it was
    /// done or not, and can be done again.
    pub(crate) async fn destroy(&self, identity: IdentityId, owner: Owner, now: Timestamp) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let numbers = self.numbers(identity, owner).await?;
            let newest = numbers.last().copied();
            let name = |number| KeyName { identity, owner, number };
            let tombstone = json!({ "destroyed_at": now.micros() }).to_string();
            // A newer number than all that others may have seen stops whoever is about to make a key.
            let done = match newest {
                None => self.put(name(1), tombstone, PutMode::Create).await?,
                Some(number) => match self.lies(name(number)).await {
                    Ok(Some(Lies::Destroyed(at))) if at >= now => true,
                    Ok(Some(Lies::Destroyed(_))) => self.put(name(number + 1), tombstone, PutMode::Create).await?,
                    // Also if it cannot be read: it is to be destroyed.
                    Ok(Some(Lies::Sealed(_))) | Err(StoreError::Corrupt { .. }) => {
                        self.put(name(number), tombstone, PutMode::Overwrite).await?
                    }
                    Ok(None) => false,
                    Err(error) => return Err(error),
                },
            };
            if done {
                let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
                trusted.retain(|name, _| (name.identity, name.owner) != (identity, owner));
                return Ok(());
            }
        }
        Err(contended())
    }

    /// Every service of a person that was ever erased, with the last time.
    pub(crate) async fn erased(&self) -> Result<Vec<(IdentityId, Service, Timestamp)>, StoreError> {
        let names = self.names().await?;
        let each = stream::iter(names.into_iter().map(Ok::<_, StoreError>));
        let lying = each.map_ok(|name| async move { Ok((name, self.lies(name).await?)) });
        let mut lying = lying.try_buffer_unordered(AT_A_TIME);
        let mut erased = BTreeMap::new();
        while let Some((name, lies)) = lying.try_next().await? {
            if let (Some(Lies::Destroyed(at)), Owner::Service(service)) = (lies, name.owner) {
                let last = erased.entry((name.identity, service)).or_insert(at);
                *last = at.max(*last);
            }
        }
        Ok(erased.into_iter().map(|((identity, service), at)| (identity, service, at)).collect())
    }

    /// The names of all keys, also of those that were destroyed.
    pub(crate) async fn names(&self) -> Result<Vec<KeyName>, StoreError> {
        let all = self.store.list(Some(&Path::from(FOLDER)));
        let name = |meta: ObjectMeta| ready(Ok(meta.location.as_ref().parse::<KeyName>().ok()));
        let mut names: Vec<_> = all.try_filter_map(name).try_collect().await?;
        names.sort();
        Ok(names)
    }

    /// What lies under a name, as it lies there.
    pub(crate) async fn raw(&self, name: KeyName) -> Result<Option<Bytes>, StoreError> {
        match self.store.get(&name.path()).await {
            Ok(result) => Ok(Some(result.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts back what lay under a name.
    pub(crate) async fn put_back(&self, name: KeyName, bytes: Bytes) -> Result<(), StoreError> {
        self.store.put_opts(&name.path(), PutPayload::from(bytes), PutMode::Create.into()).await?;
        Ok(())
    }

    /// All that lies there of a subject, by number.
    async fn kept(&self, identity: IdentityId, owner: Owner) -> Result<BTreeMap<u32, Kept>, StoreError> {
        let mut all = BTreeMap::new();
        for number in self.numbers(identity, owner).await? {
            if let Some(kept) = self.load(KeyName { identity, owner, number }).await? {
                all.insert(number, kept);
            }
        }
        Ok(all)
    }

    /// The numbers of a subject's keys, the newest last.
    async fn numbers(&self, identity: IdentityId, owner: Owner) -> Result<Vec<u32>, StoreError> {
        let folder = Path::from(format!("{FOLDER}/{identity}/{}", owner.as_str()));
        let all = self.store.list(Some(&folder));
        let number = |meta: ObjectMeta| ready(Ok(meta.location.as_ref().parse().ok().map(|name: KeyName| name.number)));
        let mut numbers: Vec<u32> = all.try_filter_map(number).try_collect().await?;
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn load(&self, name: KeyName) -> Result<Option<Kept>, StoreError> {
        Ok(match self.lies(name).await? {
            Some(Lies::Sealed(sealed)) => {
                let bytes = self.sealer()?.open(&sealed, &name.purpose())?;
                let bytes = bytes.try_into().map_err(|_| corrupt("key", "no 32 bytes"))?;
                Some(Kept::Key(SubjectKey { name, bytes }))
            }
            Some(Lies::Destroyed(at)) => Some(Kept::Destroyed(at)),
            None => None,
        })
    }

    async fn lies(&self, name: KeyName) -> Result<Option<Lies>, StoreError> {
        let Some(bytes) = self.raw(name).await? else { return Ok(None) };
        Lies::read(&bytes).map(Some).ok_or_else(|| corrupt("key", String::from_utf8_lossy(&bytes)))
    }

    fn written(&self, key: &SubjectKey) -> Result<String, StoreError> {
        let sealed = self.sealer()?.seal(&key.bytes, &key.name.purpose());
        Ok(json!({ "key": STANDARD.encode(sealed) }).to_string())
    }

    /// Whether it was written: not if it was to be new and something is there.
    async fn put(&self, name: KeyName, content: String, mode: PutMode) -> Result<bool, StoreError> {
        match self.store.put_opts(&name.path(), PutPayload::from(content), mode.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn trusted_at(&self, name: KeyName, now: Instant) -> Option<SubjectKey> {
        let trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.get(&name).filter(|(since, _)| is_fresh(*since, now)).map(|(_, key)| key.clone())
    }

    fn trust(&self, key: &SubjectKey, begun: Instant) {
        let mut trusted = self.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        trusted.retain(|_, (since, _)| is_fresh(*since, begun));
        trusted.insert(key.name, (begun, key.clone()));
    }
}

/// Whether what was read then still counts.
fn is_fresh(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < TRUSTED
}

/// Others came first again and again, which takes more nodes than there are.
fn contended() -> StoreError {
    StoreError::Objects(object_store::Error::Generic {
        store: "keyring",
        source: "others change it all the time".into(),
    })
}

/// Whether what lies under a name of the keyring may have taken the place of what did before: only a tombstone that of a key.
pub(crate) fn is_successor(later: &[u8], earlier: &[u8]) -> bool {
    matches!((Lies::read(later), Lies::read(earlier)), (Some(Lies::Destroyed(_)), Some(Lies::Sealed(_))))
}

/// What lies under the name of a key, unopened.
enum Lies {
    Sealed(Vec<u8>),
    Destroyed(Timestamp),
}

impl Lies {
    fn read(bytes: &[u8]) -> Option<Self> {
        let json: Json = serde_json::from_slice(bytes).ok()?;
        match json.get("destroyed_at") {
            Some(at) => Some(Self::Destroyed(Timestamp::from_micros(at.as_i64()?))),
            None => STANDARD.decode(json.get("key")?.as_str()?).ok().map(Self::Sealed),
        }
    }
}

impl KeyName {
    fn path(self) -> Path {
        Path::from(self.to_string())
    }

    /// What its key is sealed for, so that one cannot be put in another's place.
    fn purpose(self) -> String {
        let Self { identity, owner, number } = self;
        format!("subject-key:{identity}:{}:{number}", owner.as_str())
    }
}

impl std::fmt::Display for KeyName {
    /// The name among the objects.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { identity, owner, number } = self;
        write!(f, "{FOLDER}/{identity}/{}/{number}", owner.as_str())
    }
}

impl FromStr for KeyName {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let read = || {
            let mut parts = text.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/');
            let (identity, owner, number) = (parts.next()?, parts.next()?, parts.next()?);
            let name = Self {
                identity: identity.parse().ok()?,
                owner: Owner::from_word(owner).filter(|owner| *owner != Owner::Installation)?,
                number: number.parse().ok()?,
            };
            // One spelling each: what is read is what would be written.
            (name.to_string() == text).then_some(name)
        };
        read().ok_or_else(|| corrupt("key", text))
    }
}

impl SubjectKey {
    /// What an object's key is derived from.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Tells this key from another of the same name, and nothing of itself.
    pub(crate) fn fingerprint(&self) -> [u8; 16] {
        let digest = Sha256::new().chain_update("misora subject key").chain_update(self.bytes).finalize();
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest[..16]);
        fingerprint
    }

    #[cfg(test)]
    pub(crate) fn of(name: KeyName, bytes: [u8; 32]) -> Self {
        Self { name, bytes }
    }
}

impl std::fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SubjectKey({})", self.name)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyring")
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn person(entropy: u8) -> IdentityId {
        IdentityId::new(NOW, [entropy; 8])
    }

    fn subject(entropy: u8, since: Timestamp) -> Subject {
        Subject { identity: person(entropy), service: Service::Video, since }
    }

    fn keyring() -> Keyring {
        Keyring::new(Arc::new(InMemory::new())).sealed_with(Sealer::new([1; 32]))
    }

    /// The same keys on another node, which trusts nothing yet.
    fn node(keyring: &Keyring) -> Keyring {
        Keyring { trusted: Arc::default(), ..keyring.clone() }
    }

    fn later(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn everyone_has_a_key_for_each_service() {
        let ring = keyring();
        let mine = ring.writing(subject(1, NOW)).await.unwrap();
        assert_eq!(node(&ring).writing(subject(1, NOW)).await.unwrap(), mine);
        assert_eq!(ring.reading(mine.name, mine.fingerprint()).await.unwrap(), mine);
        let theirs = ring.writing(subject(2, NOW)).await.unwrap();
        let social = ring.writing(Subject { service: Service::Social, ..subject(1, NOW) }).await.unwrap();
        assert!(mine.bytes != theirs.bytes && mine.bytes != social.bytes);
        assert_eq!(ring.names().await.unwrap().len(), 3);
        assert!(!format!("{mine:?} {ring:?}").contains("bytes"));
    }

    #[tokio::test]
    async fn a_destroyed_key_is_gone_and_the_moment_stays() {
        let ring = keyring();
        let [mine, theirs] =
            [ring.writing(subject(1, NOW)).await.unwrap(), ring.writing(subject(2, NOW)).await.unwrap()];
        ring.reading(mine.name, mine.fingerprint()).await.unwrap();
        for _ in 0..2 {
            ring.destroy(person(1), Service::Video.into(), later(5)).await.unwrap();
            let gone = ring.reading(mine.name, mine.fingerprint()).await;
            assert!(matches!(gone, Err(StoreError::NotFound("object"))), "{gone:?}");
        }
        assert_eq!(ring.erased().await.unwrap(), [(person(1), Service::Video, later(5))]);
        ring.reading(theirs.name, theirs.fingerprint()).await.unwrap();
        // What was begun before it is refused; whoever comes back has a new key.
        assert!(matches!(ring.writing(subject(1, later(4))).await, Err(StoreError::Erased)));
        let next = ring.writing(subject(1, later(6))).await.unwrap();
        assert_eq!(next.name.number, 2);
        assert!(next.bytes != mine.bytes);
        assert!(matches!(ring.writing(subject(1, later(4))).await, Err(StoreError::Erased)));
        assert!(ring.reading(mine.name, mine.fingerprint()).await.is_err());
        ring.destroy(person(1), Service::Video.into(), later(9)).await.unwrap();
        assert!(ring.reading(next.name, next.fingerprint()).await.is_err());
        assert_eq!(ring.erased().await.unwrap(), [(person(1), Service::Video, later(9))]);
    }

    #[tokio::test]
    async fn an_erasure_counts_without_a_key_too() {
        let ring = keyring();
        ring.destroy(person(1), Service::Video.into(), later(5)).await.unwrap();
        ring.destroy(person(1), Service::Video.into(), later(8)).await.unwrap();
        assert_eq!(ring.erased().await.unwrap(), [(person(1), Service::Video, later(8))]);
        assert!(matches!(ring.writing(subject(1, later(7))).await, Err(StoreError::Erased)));
        assert_eq!(ring.writing(subject(1, later(8))).await.unwrap().name.number, 3);
    }

    #[tokio::test]
    async fn another_node_believes_a_key_for_a_few_seconds_at_most() {
        let (here, now) = (keyring(), Instant::now());
        let there = node(&here);
        let key = here.writing(subject(1, NOW)).await.unwrap();
        there.reading(key.name, key.fingerprint()).await.unwrap();
        here.destroy(person(1), Service::Video.into(), NOW).await.unwrap();
        // As if it had been read some time ago.
        let read = |ago| there.trust(&key, now.checked_sub(Duration::from_millis(ago)).unwrap());
        read(2_000);
        assert_eq!(there.trusted_at(key.name, now), Some(key.clone()));
        read(3_000);
        assert_eq!(there.trusted_at(key.name, now), None);
        read(5_000);
        assert!(there.reading(key.name, key.fingerprint()).await.is_err());
        assert!(TRUSTED < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_key_opens_under_its_own_name_and_seal_alone() {
        let ring = keyring();
        let [mine, theirs] =
            [ring.writing(subject(1, NOW)).await.unwrap(), ring.writing(subject(2, NOW)).await.unwrap()];
        let other_seal = node(&ring).sealed_with(Sealer::new([2; 32]));
        assert!(matches!(other_seal.writing(subject(1, NOW)).await, Err(StoreError::Unsealable)));
        let bare = Keyring::new(Arc::clone(&ring.store));
        assert!(matches!(bare.writing(subject(1, NOW)).await, Err(StoreError::NoSealer)));
        let swapped = ring.raw(theirs.name).await.unwrap().unwrap();
        ring.store.put(&mine.name.path(), PutPayload::from(swapped)).await.unwrap();
        assert!(matches!(ring.writing(subject(1, NOW)).await, Err(StoreError::Unsealable)));
        // A keyring that was lost: the next key of the same name is not taken for the first.
        let lost = keyring();
        let again = lost.writing(subject(1, NOW)).await.unwrap();
        assert_eq!(again.name, mine.name);
        assert!(matches!(lost.reading(mine.name, mine.fingerprint()).await, Err(StoreError::NotFound("object"))));
        // Also what cannot be opened can be destroyed.
        ring.destroy(person(1), Service::Video.into(), NOW).await.unwrap();
        assert_eq!(ring.erased().await.unwrap().len(), 1);
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for owner in [Service::Api.into(), Owner::Account] {
            let name = KeyName { identity: person(1), owner, number: 12 };
            assert_eq!(name.to_string().parse::<KeyName>().unwrap(), name);
        }
        let user = person(1);
        for text in [
            String::new(),
            "renders/a".into(),
            format!("keyring/{user}/api"),
            format!("keyring/{user}/api/012"),
            format!("keyring/{user}/api/1/2"),
            format!("keyring/{user}/echo/1"),
            format!("keyring/{user}/installation/1"),
            format!("keyring/{user}/api/../../1"),
        ] {
            assert!(text.parse::<KeyName>().is_err(), "{text}");
        }
    }
}
