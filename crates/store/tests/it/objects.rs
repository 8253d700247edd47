//! One contract for every place of objects: memory, a folder, and S3 where `MISORA_TEST_S3` names an endpoint
//! (`http://127.0.0.1:5555`, a `moto_server`) with a bucket called `misora`.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use platform::{FileId, Timestamp, VideoId};
use store::{ByteRange, ObjectKey, Objects, ObjectsPlace, S3Place, StoreError};

use crate::bed::{entropy, signed_video};

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
    let objects = Objects::open(place).unwrap();
    let id = VideoId::new(Timestamp::from_seconds(1_790_000_000), entropy());
    let stored = objects.put_video(id, 1, signed_video().clone()).await.unwrap();
    // Written again, it is the same.
    assert_eq!(objects.put_video(id, 1, signed_video().clone()).await.unwrap(), stored);
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

    let thumbnail = objects.put_derived(id, 1, "webp", Bytes::from_static(b"webp")).await.unwrap();
    let retried = objects.put_derived(id, 12, "webp", Bytes::from_static(b"webp")).await.unwrap();
    let file = FileId::new(Timestamp::from_seconds(1_790_000_000), entropy());
    let upload = objects.put_upload(&file, Bytes::from_static(b"a file")).await.unwrap();
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
