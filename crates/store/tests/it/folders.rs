//! Folders and favourites.

use std::time::Duration;

use platform::{FolderId, FolderName, MAX_FOLDERS, VideoId};
use store::{LibraryFilter, StoreError};

use crate::bed::{Bed, entropy, member};
use crate::library::{finished, listed, make};
use crate::on_both;

on_both!(
    a_folder_has_a_name_of_its_own,
    a_clip_lies_in_one_folder_at_most,
    favourites_are_found,
    there_are_so_many_folders_and_no_more,
);

fn name(text: &str) -> FolderName {
    FolderName::parse(text).unwrap()
}

fn new_id(bed: &Bed) -> FolderId {
    FolderId::new(bed.now, entropy())
}

/// Names and counts, in order.
async fn folders(bed: &Bed) -> Vec<(String, u64)> {
    let folders = bed.store.folders(bed.member.identity()).await.unwrap();
    folders.iter().map(|folder| (folder.name.as_str().to_owned(), folder.clips)).collect()
}

async fn a_folder_has_a_name_of_its_own(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let other = member(store, "other@example.org", bed.now).await.identity();
    let (boats, cats) = (new_id(&bed), new_id(&bed));
    store.create_folder(me, boats, &name(" Boats "), bed.now).await.unwrap();
    let again = store.create_folder(me, new_id(&bed), &name("BOATS"), bed.now).await;
    assert!(matches!(again, Err(StoreError::Exists("folder"))));
    store.create_folder(me, cats, &name("ÄRGER"), bed.now).await.unwrap();
    assert!(matches!(store.rename_folder(me, cats, &name("boats")).await, Err(StoreError::Exists("folder"))));
    assert!(matches!(store.rename_folder(me, boats, &name("ärger")).await, Err(StoreError::Exists("folder"))));
    // Its own name in other letters is no other's.
    store.rename_folder(me, boats, &name("boats")).await.unwrap();
    assert_eq!(folders(&bed).await, [("boats".to_owned(), 0), ("ÄRGER".to_owned(), 0)]);

    // Others have the same names, and nothing to do with these.
    store.create_folder(other, new_id(&bed), &name("boats"), bed.now).await.unwrap();
    assert!(matches!(store.rename_folder(other, boats, &name("x")).await, Err(StoreError::NotFound("folder"))));
    assert!(matches!(store.delete_folder(other, boats).await, Err(StoreError::NotFound("folder"))));
    assert_eq!(folders(&bed).await.len(), 2);
    assert_eq!(store.folders(other).await.unwrap().len(), 1);
}

async fn a_clip_lies_in_one_folder_at_most(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let other = member(store, "other@example.org", bed.now).await.identity();
    let boat = finished(&bed, "a red boat", 1).await;
    // What is still being made can be put in order too.
    let cat = make(&bed, bed.project, "a black cat", 2).await;
    let (one, two, theirs) = (new_id(&bed), new_id(&bed), new_id(&bed));
    store.create_folder(me, one, &name("one"), bed.now).await.unwrap();
    store.create_folder(me, two, &name("two"), bed.now).await.unwrap();
    store.create_folder(other, theirs, &name("theirs"), bed.now).await.unwrap();
    let inside = async |folder| listed(&bed, LibraryFilter { folder: Some(folder), ..LibraryFilter::default() }).await;

    assert_eq!(store.move_to_folder(me, &[boat, cat], Some(one)).await.unwrap(), 2);
    assert_eq!(inside(one).await, [cat, boat]);
    assert_eq!(store.move_to_folder(me, &[boat], Some(two)).await.unwrap(), 1);
    assert_eq!((inside(one).await, inside(two).await), (vec![cat], vec![boat]));
    assert_eq!(store.any_generation(boat).await.unwrap().folder, Some(two));

    // Neither others' clips nor others' folders.
    assert_eq!(store.move_to_folder(other, &[boat, cat], Some(theirs)).await.unwrap(), 0);
    let foreign = store.move_to_folder(me, &[boat, cat], Some(theirs)).await;
    assert!(matches!(foreign, Err(StoreError::NotFound("folder"))));
    let unknown = VideoId::new(bed.now, entropy());
    assert_eq!(store.move_to_folder(me, &[unknown], Some(one)).await.unwrap(), 0);
    assert_eq!(store.move_to_folder(me, &[], Some(one)).await.unwrap(), 0);
    assert_eq!((inside(one).await, inside(two).await), (vec![cat], vec![boat]));

    // The trash does not count, and gives back to where it was.
    store.trash(me, &[boat], bed.now).await.unwrap();
    assert_eq!((folders(&bed).await, inside(two).await), (vec![("one".to_owned(), 1), ("two".to_owned(), 0)], vec![]));
    assert_eq!(store.move_to_folder(me, &[boat], Some(one)).await.unwrap(), 0);
    store.restore(me, &[boat]).await.unwrap();
    assert_eq!(inside(two).await, [boat]);

    // Clips outlive their folder, in the trash too.
    store.trash(me, &[boat], bed.now).await.unwrap();
    store.delete_folder(me, two).await.unwrap();
    store.delete_folder(me, one).await.unwrap();
    store.restore(me, &[boat]).await.unwrap();
    assert_eq!(listed(&bed, LibraryFilter::default()).await, [cat, boat]);
    for id in [boat, cat] {
        assert_eq!(store.any_generation(id).await.unwrap().folder, None);
    }
    assert!(folders(&bed).await.is_empty());
    store.create_folder(me, one, &name("one"), bed.now).await.unwrap();
    store.move_to_folder(me, &[cat], Some(one)).await.unwrap();
    store.move_to_folder(me, &[cat], None).await.unwrap();
    assert_eq!(inside(one).await, []);
}

async fn favourites_are_found(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let other = member(store, "other@example.org", bed.now).await.identity();
    let (boat, cat) = (finished(&bed, "a red boat", 1).await, finished(&bed, "a black cat", 2).await);
    let favourites = LibraryFilter { favourites: true, ..LibraryFilter::default() };
    assert_eq!(store.set_favourites(other, &[boat, cat], true).await.unwrap(), 0);
    assert_eq!(listed(&bed, favourites).await, []);
    assert_eq!(store.set_favourites(me, &[boat, cat, boat], true).await.unwrap(), 2);
    assert_eq!(listed(&bed, favourites).await, [cat, boat]);
    assert_eq!(listed(&bed, LibraryFilter { words: Some("BOAT"), ..favourites }).await, [boat]);
    let folder = new_id(&bed);
    store.create_folder(me, folder, &name("one"), bed.now).await.unwrap();
    store.move_to_folder(me, &[cat], Some(folder)).await.unwrap();
    assert_eq!(listed(&bed, LibraryFilter { folder: Some(folder), ..favourites }).await, [cat]);
    let page = store.library(me, favourites, Some(cat), 1).await.unwrap();
    assert_eq!((page.generations[0].id, page.has_more), (boat, false));
    assert_eq!(store.set_favourites(me, &[cat], false).await.unwrap(), 1);
    assert_eq!(listed(&bed, favourites).await, [boat]);
    // As it was, after the trash.
    store.trash(me, &[boat], bed.now + Duration::from_secs(1)).await.unwrap();
    assert_eq!(listed(&bed, favourites).await, []);
    store.restore(me, &[boat]).await.unwrap();
    assert_eq!(listed(&bed, favourites).await, [boat]);
}

async fn there_are_so_many_folders_and_no_more(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    for number in 0..MAX_FOLDERS {
        store.create_folder(me, new_id(&bed), &name(&format!("{number}")), bed.now).await.unwrap();
    }
    let more = store.create_folder(me, new_id(&bed), &name("one more"), bed.now).await;
    assert!(matches!(more, Err(StoreError::State { .. })));
    let first = store.folders(me).await.unwrap()[0].id;
    store.delete_folder(me, first).await.unwrap();
    store.create_folder(me, new_id(&bed), &name("one more"), bed.now).await.unwrap();
}
