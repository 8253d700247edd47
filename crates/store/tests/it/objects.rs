//! One contract for every place of objects: memory, a folder, and S3 where `MISORA_TEST_S3` names an endpoint
//! (`http://127.0.0.1:5555`, a `moto_server`) with a bucket called `misora`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use platform::{FileId, IdentityId, PostId, Service, Timestamp, VideoId};
use store::{ByteRange, ObjectKey, Objects, ObjectsPlace, PublishedVideo, S3Place, StoreError, Subject};

use crate::bed::{entropy, objects, signed_video};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

#[tokio::test]
async fn memory() {
    contract(&ObjectsPlace::Memory).await;
}

#[tokio::test]
async fn folder() {
    let folder = tempfile::tempdir().unwrap();
    contract(&ObjectsPlace::Folder(folder.path().join("a/b"))).await;
}

#[tokio::test]
async fn s3() {
    let Ok(endpoint) = std::env::var("MISORA_TEST_S3") else {
        eprintln!("S3 is not tested: MISORA_TEST_S3 names no endpoint");
        return;
    };
    let place = S3Place {
        bucket: "misora".into(),
        region: "us-east-1".into(),
        endpoint: Some(endpoint),
        access_key_id: "test".into(),
        secret_access_key: "test".into(),
    };
    assert!(!format!("{place:?}").contains("test\""));
    // What comes in pieces is there whole, and what breaks off is not there.
    let name = format!("archives/{}.zip", u64::from_be_bytes(entropy()));
    let pieces = [Ok(Bytes::from_static(b"one ")), Ok(Bytes::from_static(b"two"))];
    place.write(&name, futures_util::stream::iter(pieces).boxed(), None).await.unwrap();
    assert!(place.has(&name, None).await.unwrap());
    let broken = [Ok(Bytes::from_static(b"one ")), Err(StoreError::NotFound("object"))];
    assert!(place.write("archives/broken.zip", futures_util::stream::iter(broken).boxed(), None).await.is_err());
    assert!(!place.has("archives/broken.zip", None).await.unwrap());
    contract(&ObjectsPlace::S3(place)).await;
}

async fn contract(place: &ObjectsPlace) {
    let objects = objects(place);
    what_is_put_is_there(&objects).await;
    ranges_at_the_ends_of_chunks(&objects).await;
    // Objects in memory are this process's.
    let other = if *place == ObjectsPlace::Memory { objects.clone() } else { crate::bed::objects(place) };
    nodes_make_one_key(&objects, &other).await;
    an_erased_service_cannot_be_read(&objects, &other).await;
    a_post_has_its_own_copy(&objects).await;
    let bare = Objects::open(place).unwrap();
    let refused = bare.put_upload(someone(Service::Api), &file(), "a file".into()).await;
    assert!(matches!(refused, Err(StoreError::NoSealer)), "{refused:?}");
}

/// A person whom no other run of these tests knows, since buckets stay.
fn someone(service: Service) -> Subject {
    Subject { identity: IdentityId::new(NOW, rand::random()), service, since: NOW }
}

fn file() -> FileId {
    FileId::new(NOW, rand::random())
}

/// Bytes of which no chunk is like another.
fn content(bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

async fn read(objects: &Objects, key: &ObjectKey, range: Option<ByteRange>) -> Result<Vec<u8>, StoreError> {
    let part = objects.get(key, range).await?;
    let bytes: Vec<Bytes> = part.stream.try_collect().await?;
    assert_eq!(bytes.iter().map(Bytes::len).sum::<usize>() as u64, part.range.end - part.range.start);
    Ok(bytes.concat())
}

async fn is_gone(objects: &Objects, key: &ObjectKey) -> bool {
    for range in [None, Some(ByteRange::From(0)), Some(ByteRange::Last(2))] {
        if !matches!(read(objects, key, range).await, Err(StoreError::NotFound("object"))) {
            return false;
        }
    }
    matches!(objects.get_all(key).await, Err(StoreError::NotFound("object")))
}

async fn ranges_at_the_ends_of_chunks(objects: &Objects) {
    const CHUNK: u64 = 64 * 1024;
    for size in [1, CHUNK, 2 * CHUNK + 1] {
        let all = content(size as usize);
        let key = objects.put_upload(someone(Service::Api), &file(), all.clone()).await.unwrap();
        assert_eq!(objects.size_bytes(&key).await.unwrap(), size);
        assert_eq!(objects.get_all(&key).await.unwrap(), all);
        assert_eq!(read(objects, &key, None).await.unwrap(), all);
        let ends = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1];
        for start in ends.into_iter().filter(|start| *start < size) {
            let rest = read(objects, &key, Some(ByteRange::From(start))).await.unwrap();
            assert!(rest == all[start as usize..], "{start} of {size}");
            for end in ends.into_iter().filter(|end| start < *end && *end <= size) {
                let part = read(objects, &key, Some(ByteRange::Bounded(start..end))).await.unwrap();
                assert!(part == all[start as usize..end as usize], "{start}..{end} of {size}");
            }
        }
    }
    let empty = objects.put_upload(someone(Service::Api), &file(), Bytes::new()).await.unwrap();
    assert_eq!(read(objects, &empty, None).await.unwrap(), b"");
    assert!(objects.get_all(&empty).await.unwrap().is_empty());
    let none = objects.get(&empty, Some(ByteRange::From(0))).await;
    assert!(matches!(none, Err(StoreError::Range { size_bytes: 0 })), "{none:?}");
}

async fn nodes_make_one_key(one: &Objects, other: &Objects) {
    let subject = someone(Service::Video);
    let puts = (0..12_u8).map(|number| async move {
        let node = if number % 2 == 0 { one } else { other };
        node.put_upload(subject, &file(), Bytes::from(vec![number; 3])).await
    });
    let keys = try_join_all(puts).await.unwrap();
    for node in [one, other] {
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(read(node, key, None).await.unwrap(), [number as u8; 3]);
        }
    }
    one.destroy_key(subject.identity, Service::Video, NOW).await.unwrap();
    for key in &keys {
        assert!(is_gone(one, key).await);
    }
}

async fn an_erased_service_cannot_be_read(objects: &Objects, other: &Objects) {
    let at = |seconds| NOW + Duration::from_secs(seconds);
    let (mine, theirs) = (someone(Service::Video), someone(Service::Video));
    let social = Subject { service: Service::Social, ..mine };
    let id = VideoId::new(NOW, rand::random());
    let mut kept = Vec::new();
    for subject in [mine, theirs, social] {
        kept.push(objects.put_upload(subject, &file(), "my words".into()).await.unwrap());
    }
    let picture = objects.put_derived(mine, id, 1, "webp", "a picture".into()).await.unwrap();
    // Again, and broken off in between: it is the same.
    for _ in 0..2 {
        objects.destroy_key(mine.identity, Service::Video, at(10)).await.unwrap();
    }
    for node in [objects, other] {
        assert!(is_gone(node, &kept[0]).await && is_gone(node, &picture).await);
        for key in &kept[1..] {
            assert_eq!(read(node, key, None).await.unwrap(), b"my words");
        }
        let erased = node.erased_subjects().await.unwrap();
        let of_mine: Vec<_> = erased.iter().filter(|(identity, _, _)| *identity == mine.identity).collect();
        assert_eq!(of_mine, [&(mine.identity, Service::Video, at(10))]);
        assert!(erased.iter().all(|(identity, _, _)| *identity != theirs.identity));
        // What was begun before it comes too late.
        let late = node.put_derived(Subject { since: at(9), ..mine }, id, 1, "jpg", "late".into()).await;
        assert!(matches!(late, Err(StoreError::Erased)), "{late:?}");
    }
    // Whoever comes back begins anew, also where the same content lies still.
    let again = Subject { since: at(11), ..mine };
    assert_eq!(other.put_derived(again, id, 1, "webp", "a picture".into()).await.unwrap(), picture);
    assert_eq!(read(objects, &picture, None).await.unwrap(), b"a picture");
    assert!(is_gone(objects, &kept[0]).await);
}

async fn a_post_has_its_own_copy(objects: &Objects) {
    let (maker, author) = (someone(Service::Video), someone(Service::Social));
    // More than is written at once.
    let clip = content((9 << 20) + 5);
    let video = PublishedVideo {
        key: objects.put_upload(maker, &file(), clip.clone()).await.unwrap(),
        size_bytes: clip.len() as u64,
        sha256: String::new(),
        thumbnail: Some(objects.put_upload(maker, &file(), "a picture".into()).await.unwrap()),
        spritesheet: None,
        recipe: "{}".into(),
    };
    let post = PostId::new(NOW, rand::random());
    let media = objects.copy_for_post(author, post, &video).await.unwrap();
    assert_eq!(objects.copy_for_post(author, post, &video).await.unwrap(), media);
    assert!(media.video.as_str().starts_with(&format!("posts/{post}/")));
    objects.destroy_key(maker.identity, Service::Video, NOW).await.unwrap();
    assert!(is_gone(objects, &video.key).await);
    let late = objects.copy_for_post(author, PostId::new(NOW, rand::random()), &video).await;
    assert!(matches!(late, Err(StoreError::NotFound("object"))), "{late:?}");
    assert!(objects.get_all(&media.video).await.unwrap() == clip);
    let middle = ByteRange::Bounded((8 << 20) - 3..(8 << 20) + 3);
    assert_eq!(read(objects, &media.video, Some(middle)).await.unwrap(), clip[(8 << 20) - 3..(8 << 20) + 3]);
    assert_eq!(read(objects, &media.thumbnail.unwrap(), None).await.unwrap(), b"a picture");
    objects.destroy_key(author.identity, Service::Social, NOW).await.unwrap();
    assert!(is_gone(objects, &media.video).await);
}

#[tokio::test]
async fn what_an_earlier_version_wrote_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let objects = objects(&ObjectsPlace::Folder(folder.path().into()));
    std::fs::create_dir(folder.path().join("renders")).unwrap();
    for (name, bytes) in [("a", b"".to_vec()), ("b", b"short".to_vec()), ("c", content(100_000).to_vec())] {
        std::fs::write(folder.path().join("renders").join(name), &bytes).unwrap();
        let keys = objects.list("renders").await.unwrap();
        let (key, size) = (keys.last().unwrap(), bytes.len() as u64);
        assert_eq!(objects.size_bytes(key).await.unwrap(), size);
        assert_eq!(objects.get_all(key).await.unwrap(), bytes);
        assert_eq!(read(&objects, key, None).await.unwrap(), bytes);
        for range in [ByteRange::From(0), ByteRange::From(2), ByteRange::Bounded(1..4), ByteRange::Last(3)] {
            match range.within(size) {
                Ok(within) => {
                    let part = read(&objects, key, Some(range)).await.unwrap();
                    assert_eq!(part, bytes[within.start as usize..within.end as usize]);
                }
                Err(_) => {
                    let none = objects.get(key, Some(range)).await;
                    assert!(matches!(none, Err(StoreError::Range { size_bytes: 0 })), "{none:?}");
                }
            }
        }
    }
}

async fn what_is_put_is_there(objects: &Objects) {
    let subject = someone(Service::Video);
    let id = VideoId::new(NOW, entropy());
    let stored = objects.put_video(subject, id, 1, signed_video().clone()).await.unwrap();
    // Written again, it is the same.
    assert_eq!(objects.put_video(subject, id, 1, signed_video().clone()).await.unwrap(), stored);
    assert_eq!(stored.key().as_str(), format!("renders/{id}/1/{}.mp4", stored.sha256()));
    let all = signed_video().bytes();
    assert_eq!(objects.get_all(stored.key()).await.unwrap(), all);
    assert_eq!(objects.size_bytes(stored.key()).await.unwrap(), all.len() as u64);

    let size = all.len() as u64;
    let check = async |range: Option<ByteRange>, expected: std::ops::Range<usize>| {
        let part = objects.get(stored.key(), range).await.unwrap();
        assert_eq!((part.size_bytes, part.range.clone()), (size, expected.start as u64..expected.end as u64));
        let bytes: Vec<Bytes> = part.stream.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), all[expected]);
    };
    check(None, 0..all.len()).await;
    check(Some(ByteRange::Bounded(0..1)), 0..1).await;
    check(Some(ByteRange::Bounded(5..size + 100)), 5..all.len()).await;
    check(Some(ByteRange::From(7)), 7..all.len()).await;
    check(Some(ByteRange::Last(3)), all.len() - 3..all.len()).await;
    check(Some(ByteRange::Last(size + 3)), 0..all.len()).await;
    for outside in [ByteRange::From(size), ByteRange::Bounded(3..3), ByteRange::Last(0)] {
        let error = objects.get(stored.key(), Some(outside)).await.unwrap_err();
        assert!(matches!(error, StoreError::Range { size_bytes } if size_bytes == size), "{error}");
    }

    let thumbnail = objects.put_derived(subject, id, 1, "webp", Bytes::from_static(b"webp")).await.unwrap();
    let retried = objects.put_derived(subject, id, 12, "webp", Bytes::from_static(b"webp")).await.unwrap();
    let upload = objects.put_upload(subject, &file(), Bytes::from_static(b"a file")).await.unwrap();
    // The first attempt goes; the twelfth, whose number begins alike, stays.
    assert_eq!(objects.delete_under(&format!("renders/{id}/1")).await.unwrap(), 2);
    assert_eq!(objects.list(&format!("renders/{id}")).await.unwrap(), [retried]);
    assert_eq!(objects.delete_under(&format!("renders/{id}")).await.unwrap(), 1);
    assert_eq!(objects.delete_under(&format!("renders/{id}")).await.unwrap(), 0);
    let missing: [&ObjectKey; 2] = [stored.key(), &thumbnail];
    for key in missing {
        assert!(matches!(objects.get(key, None).await, Err(StoreError::NotFound("object"))));
        assert!(matches!(objects.get(key, Some(ByteRange::From(0))).await, Err(StoreError::NotFound("object"))));
    }
    assert_eq!(objects.get_all(&upload).await.unwrap(), b"a file".as_slice());
}
