use std::collections::BTreeMap;
use std::path::Path;

use platform::{FileId, MembershipEvent, Service, VideoId};
use store::{AuditEntry, ObjectKey, Objects, ObjectsPlace, Store, StoreError, Subject, backup, backup_keys, restore};

use crate::bed::{Bed, entropy, objects, paper};
use crate::migrations::used_until;
use crate::on_both;
use crate::postgres::postgres_database;

on_both!(every_table_comes_over);

/// An installation with something of many kinds: one clip that is made, one that waits, a line in the record.
async fn installation(mut bed: Bed) -> (Bed, [VideoId; 2]) {
    bed.objects = objects(&ObjectsPlace::Folder(bed.folder.path().join("objects")));
    let done = bed.accept(bed.project).await.id;
    let (lease, _) = bed.store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    let outputs = bed.outputs(done, 1).await;
    bed.store.finish(&lease, &outputs, bed.now).await.unwrap();
    let waiting = bed.accept(bed.project).await.id;
    record(&bed.store, &bed).await;
    (bed, [done, waiting])
}

async fn record(store: &Store, bed: &Bed) {
    let (action, subject) = ("key.revoke".into(), "key_1".into());
    let entry =
        AuditEntry { at: bed.now, actor: Some(bed.member.identity()), action, subject, detail: "é\n\"".into() };
    store.record_audit(&entry).await.unwrap();
}

/// Restores a backup into a fresh installation and compares them.
async fn restored(bed: &Bed, ids: [VideoId; 2], place: &Path, keys: &Path, url: &str) {
    let store = Store::open(url).await.unwrap();
    let objects = objects(&ObjectsPlace::Memory);
    let keyless = restore(place, None, &store, &objects).await;
    assert!(matches!(keyless, Err(StoreError::Restore(_))), "{keyless:?}");
    assert!(objects.list("").await.unwrap().is_empty());
    restore(place, Some(keys), &store, &objects).await.unwrap();
    let again = restore(place, Some(keys), &store, &objects).await;
    assert!(matches!(again, Err(StoreError::Restore(_))), "nothing is written over: {again:?}");
    for id in ids {
        let (was, is) = (bed.store.generation(bed.project, id).await, store.generation(bed.project, id).await);
        assert_eq!(is.unwrap(), was.unwrap());
    }
    assert_eq!(store.queue_depth().await.unwrap().queued, 1);
    let balance = bed.store.balance(bed.project).await.unwrap();
    assert_eq!(store.balance(bed.project).await.unwrap().held, balance.held);
    let video = store.generation(bed.project, ids[0]).await.unwrap().video.unwrap();
    assert_eq!(objects.get_all(&video.key).await.unwrap(), bed.objects.get_all(&video.key).await.unwrap());

    // It goes on from there: the record's next number, the queue's next job, a change of what came over.
    assert_eq!(store.audit(10).await.unwrap().len(), 1);
    record(&store, bed).await;
    assert_eq!(store.audit(10).await.unwrap(), vec![store.audit(1).await.unwrap()[0].clone(); 2]);
    let chain = store.verify_audit().await.unwrap();
    assert_eq!((chain.lines, chain.broken), (2, None));
    let (_, generation) = store.claim("w", &paper(), bed.now).await.unwrap().unwrap();
    assert_eq!(generation.id, ids[1]);
    let identity = bed.member.identity();
    store.change_membership(identity, Service::Video, MembershipEvent::Suspend, bed.now).await.unwrap();
}

/// All rows of a backup by their tables, in an order that no engine decides.
pub(crate) fn rows(place: &Path) -> BTreeMap<String, Vec<String>> {
    let entries = std::fs::read_dir(place.join("rows")).unwrap().map(|entry| entry.unwrap().path());
    let lines = entries.map(|path| {
        let mut lines: Vec<_> = std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        (path.file_name().unwrap().to_string_lossy().into_owned(), lines)
    });
    lines.collect()
}

/// Rows in every table, of every kind of value, are the same after two moves.
async fn every_table_comes_over(bed: Bed) {
    let (store, _) = used_until(&bed, Store::last_version()).await;
    let (folder, none) = (tempfile::tempdir().unwrap(), Objects::open(&ObjectsPlace::Memory).unwrap());
    let first = folder.path().join("first");
    backup(&store, &none, &first).await.unwrap();
    let expected = rows(&first);
    let empty: Vec<_> = expected.iter().filter(|(_, lines)| lines.len() < 2).map(|(table, _)| table).collect();
    assert!(empty.is_empty(), "{empty:?}");
    for (place, url) in [("sqlite", "sqlite::memory:".to_owned()), ("postgres", postgres_database().await)] {
        let (moved, again) = (Store::open(&url).await.unwrap(), folder.path().join(place));
        restore(&first, None, &moved, &none).await.unwrap();
        backup(&moved, &none, &again).await.unwrap();
        assert_eq!(rows(&again), expected, "{place}");
    }
}

/// A backup of one database goes into both.
async fn both_ways(bed: Bed) {
    let (bed, ids) = installation(bed).await;
    let place = bed.folder.path().join("backup");
    backup(&bed.store, &bed.objects, &place).await.unwrap();
    assert!(matches!(backup(&bed.store, &bed.objects, &place).await, Err(StoreError::Backup { .. })));
    let keys = bed.folder.path().join("keyring");
    backup_keys(&bed.objects, &keys).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    restored(&bed, ids, &place, &keys, &format!("sqlite:{}", folder.path().join("misora.sqlite").display())).await;
    restored(&bed, ids, &place, &keys, &postgres_database().await).await;
}

#[tokio::test]
async fn a_backup_of_sqlite_goes_into_both() {
    both_ways(Bed::sqlite().await).await;
}

#[tokio::test]
async fn a_backup_of_postgres_goes_into_both() {
    both_ways(Bed::postgres().await).await;
}

#[tokio::test]
async fn a_damaged_backup_leaves_no_rows() {
    let (bed, _) = installation(Bed::sqlite().await).await;
    let place = bed.folder.path().join("backup");
    backup(&bed.store, &bed.objects, &place).await.unwrap();
    let keys = bed.folder.path().join("keyring");
    backup_keys(&bed.objects, &keys).await.unwrap();
    let check = async |file: &str, content: &str| {
        let path = place.join(file);
        let was = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        let store = Store::open("sqlite::memory:").await.unwrap();
        let objects = objects(&ObjectsPlace::Memory);
        let outcome = restore(&place, Some(&keys), &store, &objects).await;
        assert!(matches!(outcome, Err(StoreError::Restore(_))), "{file}: {outcome:?}");
        store.migrate().await.unwrap();
        assert!(store.identities(None, 10).await.unwrap().is_empty());
        std::fs::write(&path, was).unwrap();
    };
    check("backup.json", "{\"form\":2}").await;
    check("backup.json", "{\"form\":1,\"version\":9999}").await;
    check("backup.json", "{\"form\":1}").await;
    check("backup.json", "nothing").await;
    check("rows/webhook_endpoints.jsonl", "[\"id\"]\n[7]\n").await;
    check("rows/webhook_endpoints.jsonl", "[\"id); DROP TABLE jobs; --\"]\n").await;
    check("rows/webhook_endpoints.jsonl", "[\"id\"]\n[{\"bytes\":\"0\"}]\n").await;
}

const MARK: &[u8] = b"a marked record of Mika";

/// Whether a mark stands in any file under a folder, or in the name of one.
fn is_marked(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return is_marked(&path);
        }
        std::fs::read(&path).unwrap().windows(MARK.len()).any(|window| window == MARK)
    })
}

/// A marked upload of the bed's member, and one of somebody else.
async fn two_uploads(bed: &Bed) -> [ObjectKey; 2] {
    let other = Subject { service: Service::Social, ..bed.subject() };
    let put = async |subject| {
        let id = FileId::new(bed.now, entropy());
        bed.objects.put_upload(subject, &id, MARK.repeat(9000).into()).await.unwrap()
    };
    [put(bed.subject()).await, put(other).await]
}

#[tokio::test]
async fn what_is_erased_is_in_no_backup_that_was_made_before() {
    let (bed, _) = installation(Bed::sqlite().await).await;
    let [erased, other] = two_uploads(&bed).await;
    let (place, keys) = (bed.folder.path().join("backup"), bed.folder.path().join("keyring"));
    backup(&bed.store, &bed.objects, &place).await.unwrap();
    backup_keys(&bed.objects, &keys).await.unwrap();
    assert!(place.join("objects").join(erased.as_str()).exists());
    assert!(!place.join("objects/keyring").exists());
    assert!(!is_marked(&place) && !is_marked(&keys) && !is_marked(&bed.folder.path().join("objects")));

    let identity = bed.member.identity();
    bed.objects.destroy_key(identity, Service::Video, bed.now).await.unwrap();
    let file = keys.join(format!("keyring/{identity}/video/1"));
    let before = std::fs::read(&file).unwrap();
    for _ in 0..2 {
        backup_keys(&bed.objects, &keys).await.unwrap();
    }
    assert!(String::from_utf8(before.clone()).unwrap().contains("key"));
    assert!(!String::from_utf8(std::fs::read(&file).unwrap()).unwrap().contains("key"));

    // With the keys as they are now, elsewhere.
    let (store, elsewhere) = (Store::open("sqlite::memory:").await.unwrap(), objects(&ObjectsPlace::Memory));
    restore(&place, Some(&keys), &store, &elsewhere).await.unwrap();
    check(&elsewhere, &erased, &other).await;
    assert_eq!(elsewhere.erased_subjects().await.unwrap(), [(identity, Service::Video, bed.now)]);

    // Where the rows and objects were lost, but not the keyring: it needs no copy, and an older one brings nothing back.
    std::fs::write(&file, before).unwrap();
    for given in [None, Some(keys.as_path())] {
        for prefix in ["renders", "uploads"] {
            bed.objects.delete_under(prefix).await.unwrap();
        }
        let store = Store::open("sqlite::memory:").await.unwrap();
        restore(&place, given, &store, &bed.objects).await.unwrap();
        check(&bed.objects, &erased, &other).await;
    }
}

async fn check(objects: &Objects, erased: &ObjectKey, other: &ObjectKey) {
    assert!(objects.list("uploads").await.unwrap().contains(erased));
    assert!(matches!(objects.get_all(erased).await, Err(StoreError::NotFound("object"))));
    assert_eq!(objects.get_all(other).await.unwrap(), MARK.repeat(9000));
}

#[tokio::test]
async fn copies_of_keys_are_of_one_keyring() {
    let (bed, _) = installation(Bed::sqlite().await).await;
    let (place, keys) = (bed.folder.path().join("backup"), bed.folder.path().join("keyring"));
    backup(&bed.store, &bed.objects, &place).await.unwrap();
    // A folder of something else.
    let wrong = backup_keys(&bed.objects, &place).await;
    assert!(matches!(wrong, Err(StoreError::Backup { .. })), "{wrong:?}");
    backup_keys(&bed.objects, &keys).await.unwrap();
    let file = keys.join(format!("keyring/{}/video/1", bed.member.identity()));
    let copy = std::fs::read(&file).unwrap();

    // A keyring that was lost and begun anew takes no copy away, and does not take the old one.
    let anew = objects(&ObjectsPlace::Memory);
    anew.put_upload(bed.subject(), &FileId::new(bed.now, entropy()), "a".into()).await.unwrap();
    let refused = backup_keys(&anew, &keys).await;
    assert!(matches!(refused, Err(StoreError::Keys(_))), "{refused:?}");
    assert_eq!(std::fs::read(&file).unwrap(), copy);
    anew.delete_under("uploads").await.unwrap();
    let store = Store::open("sqlite::memory:").await.unwrap();
    let refused = restore(&place, Some(&keys), &store, &anew).await;
    assert!(matches!(refused, Err(StoreError::Keys(_))), "{refused:?}");

    // Neither does a copy of what was destroyed become a key again.
    std::fs::write(&file, r#"{"destroyed_at":1}"#).unwrap();
    let refused = backup_keys(&bed.objects, &keys).await;
    assert!(matches!(refused, Err(StoreError::Keys(_))), "{refused:?}");
}
