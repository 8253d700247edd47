//! Archives in rows: who makes one, whose rows are read, what comes back.

use std::time::Duration;

use crate::bed::{Bed, entropy, member, raw};
use crate::on_both;
use crate::social::{Person, Stage};
use platform::{
    ConversationId, DestinationId, ExportId, FolderId, FolderName, ImportId, MembershipEvent, MessageId, MessageText,
    Service, Visibility,
};
use store::{
    ARCHIVE_CLASSES, ArchiveTable, ArchiveValue, Destination, ExportPart, ExportState, FilmLook, ImportState, LeftOut,
    NewExport, NewMessage, Restoring, RowToRestore, StoreError,
};

on_both!(
    r19_one_makes_an_archive_at_a_time_and_whoever_comes_late_writes_nothing,
    r19_an_archive_that_never_gets_on_is_given_up,
    r19_every_table_of_every_class_is_read_page_by_page,
    r19_a_withheld_message_is_told_to_its_writer_alone,
    r20_rows_come_back_once_and_only_to_members,
    r20_an_import_is_held_by_one_and_ends_once,
    r21_a_destination_keeps_its_secret_sealed_and_knows_what_it_has,
    what_is_kept_of_archives_goes_with_its_service
);

const LEASE: Duration = Duration::from_secs(120);

fn table(object: &str) -> &'static ArchiveTable {
    ARCHIVE_CLASSES.iter().flat_map(|class| class.tables).find(|table| table.object == object).unwrap()
}

async fn ask(bed: &Bed, services: &[&str]) -> ExportId {
    let id = ExportId::new(bed.now, entropy());
    let export = NewExport {
        id,
        identity: bed.member.identity(),
        services: services.iter().map(|service| (*service).to_owned()).collect(),
        since: None,
        destination: None,
        expires_at: bed.now + Duration::from_secs(86_400),
    };
    bed.store.create_export(&export, bed.now).await.unwrap();
    id
}

async fn r19_one_makes_an_archive_at_a_time_and_whoever_comes_late_writes_nothing(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let id = ask(&bed, &["video"]).await;
    let second = NewExport {
        id: ExportId::new(bed.now, entropy()),
        identity: me,
        services: vec!["video".into()],
        since: None,
        destination: None,
        expires_at: bed.now,
    };
    assert!(matches!(store.create_export(&second, bed.now).await, Err(StoreError::State { .. })));

    let first = store.claim_export(LEASE, bed.now).await.unwrap().unwrap();
    assert_eq!((first.id, first.state), (id, ExportState::Waiting));
    assert!(store.claim_export(LEASE, bed.now).await.unwrap().is_none(), "it is held");
    let later = bed.now + LEASE;
    let taken = store.claim_export(LEASE, later).await.unwrap().unwrap();
    // Whoever had it first wakes up and finds it lost.
    let late = store.begin_reading(&first, later).await;
    assert!(matches!(late, Err(StoreError::State { .. })), "{late:?}");

    store.begin_reading(&taken, later + LEASE).await.unwrap();
    let key = bed.objects.put_archive_part(&taken, "line\n".into()).await.unwrap();
    let rows = ExportPart {
        path: "data/clips.jsonl".into(),
        key: key.clone(),
        items: Some(1),
        measured: Some((5, 7, "aa".into())),
    };
    let media = ExportPart { path: "media/b.mp4".into(), key: key.clone(), items: None, measured: None };
    let gone = ExportPart { path: "media/a.mp4".into(), ..media.clone() };
    store.add_export_parts(&taken, &[rows.clone(), media.clone(), gone.clone()], later + LEASE).await.unwrap();
    // Again changes nothing.
    store.add_export_parts(&taken, std::slice::from_ref(&media), later + LEASE).await.unwrap();
    let export = store.export(me, id).await.unwrap();
    assert_eq!((export.done, export.total, export.state), (1, 3, ExportState::Reading));
    assert_eq!(store.pending_export_parts(id, 10).await.unwrap(), [gone.clone(), media.clone()]);
    let copied = ExportPart { measured: Some((5, u32::MAX, "bb".into())), ..media };
    store.export_part_done(&taken, &copied, later + LEASE).await.unwrap();
    store.export_part_done(&taken, &gone, later + LEASE).await.unwrap();
    assert_eq!(store.export_parts(id).await.unwrap(), [rows, copied]);
    store.finish_export(&taken, 10, "cc", later + LEASE, later).await.unwrap();
    let export = store.export(me, id).await.unwrap();
    assert_eq!((export.state, export.size_bytes, export.sha256.as_deref()), (ExportState::Ready, Some(10), Some("cc")));
    assert!(store.claim_export(LEASE, later + LEASE).await.unwrap().is_none());

    let other = member(store, "other@example.org", bed.now).await.identity();
    assert!(matches!(store.export(other, id).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.delete_export(other, id, later).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.expire_exports(later).await.unwrap(), 0);
    assert_eq!(store.expire_exports(later + LEASE).await.unwrap(), 1);
    assert_eq!(store.object_deletions(10).await.unwrap(), [format!("exports/{id}")]);
    assert!(store.export_parts(id).await.unwrap().is_empty());
}

async fn r19_an_archive_that_never_gets_on_is_given_up(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let id = ask(&bed, &["video"]).await;
    let mut now = bed.now;
    for _ in 0..10 {
        assert!(store.claim_export(LEASE, now).await.unwrap().is_some());
        now = now + LEASE;
    }
    assert!(store.claim_export(LEASE, now).await.unwrap().is_none());
    let export = store.export(me, id).await.unwrap();
    assert_eq!((export.state, export.error.is_some()), (ExportState::Failed, true));
    // Then another can be asked for.
    ask(&bed, &["video"]).await;
    let next = store.claim_export(LEASE, now).await.unwrap().unwrap();
    store.return_export(&next, "It failed.", now + LEASE).await.unwrap();
    assert!(store.claim_export(LEASE, now).await.unwrap().is_none());
    assert!(store.claim_export(LEASE, now + LEASE).await.unwrap().is_some());
}

async fn r19_every_table_of_every_class_is_read_page_by_page(bed: Bed) {
    // An installation with rows in every table.
    let (store, _) = crate::migrations::used_until(&bed, store::Store::last_version()).await;
    let mika = store.identity_by_email("mika@example.org").await.unwrap().unwrap().id;
    for class in ARCHIVE_CLASSES {
        for table in class.tables {
            let whole = store.archive_rows(mika, table, None, 100).await.unwrap();
            let (mut paged, mut after) = (Vec::new(), None);
            loop {
                let page = store.archive_rows(mika, table, after.as_ref(), 1).await.unwrap();
                let Some(row) = page.into_iter().next() else { break };
                paged.push(row.values.clone());
                after = Some(row);
            }
            let whole: Vec<_> = whole.into_iter().map(|row| row.values).collect();
            assert_eq!(paged, whole, "{}", table.object);
            assert!(whole.iter().all(|row| row.len() == table.columns.len()));
            let empty = ["like", "comment"];
            assert_eq!(whole.is_empty(), empty.contains(&table.object), "{}", table.object);
        }
    }
    store.close().await;
}

async fn r19_a_withheld_message_is_told_to_its_writer_alone(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (store, now) = (stage.store(), stage.now());
    let (mika, yuki) = (stage.person("mika").await, stage.person("yuki").await);
    let post = stage.post(mika, Visibility::Public, "look").await;
    let (id, conversation) = (MessageId::new(now, entropy()), ConversationId::new(now, entropy()));
    let text = MessageText::parse("see this").unwrap();
    let message = NewMessage { id, conversation, to: yuki.id, text: &text, post: Some(post) };
    store.send_message(mika.member, &message, now).await.unwrap();
    let messages = table("message");
    let told = async |whose: Person| {
        let rows = store.archive_rows(whose.id, messages, None, 10).await.unwrap();
        let field = |name| messages.columns.iter().position(|column| column.name == name).unwrap();
        ["text", "post"].map(|name| rows[0].values[field(name)].clone())
    };
    let whole = [ArchiveValue::Text("see this".into()), ArchiveValue::Id(post.bytes())];
    assert_eq!((told(mika).await, told(yuki).await), (whole.clone(), whole.clone()));
    raw::execute(&stage.bed.url, "UPDATE messages SET withheld_at = 1").await;
    let nothing = [ArchiveValue::Text(String::new()), ArchiveValue::Null];
    assert_eq!((told(mika).await, told(yuki).await), (whole, nothing));
}

async fn r20_rows_come_back_once_and_only_to_members(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let boats = FolderId::new(bed.now, entropy());
    store.create_folder(me, boats, &FolderName::parse("Boats").unwrap(), bed.now).await.unwrap();
    let rows = store.archive_rows(me, table("folder"), None, 10).await.unwrap();
    let class = ARCHIVE_CLASSES.iter().find(|class| class.name == "folders").unwrap();
    let put = async |restoring: &mut Restoring, rows: &[store::ArchiveRow]| {
        let mut rows = rows.to_vec();
        let there = store.find_archived(restoring, &mut rows).await.unwrap();
        let rows: Vec<_> = rows
            .into_iter()
            .map(|row| RowToRestore {
                row,
                video: None,
                link_token: None,
                came_as: String::new(),
                look: FilmLook::default(),
            })
            .collect();
        (there, store.restore_rows(restoring, class, &rows, bed.now).await.unwrap())
    };
    // Theirs already.
    let mut own = Restoring::new(me, me, Some(bed.project), "default", bed.now);
    own.allow_only([bed.member]);
    let (there, restored) = put(&mut own, &rows).await;
    assert_eq!((there, restored.added, restored.there), (vec![true], 0, 1));

    // Another's: nobody who is no member, and with an id of its own.
    let other = member(store, "other@example.org", bed.now).await;
    let mut theirs = Restoring::new(other.identity(), me, None, "default", bed.now);
    let (_, restored) = put(&mut theirs, &rows).await;
    assert_eq!((restored.added, restored.left_out.len()), (0, 1));
    theirs.allow_only([other]);
    let (there, restored) = put(&mut theirs, &rows).await;
    assert_eq!((there, restored.added), (vec![false], 1));
    let (there, restored) = put(&mut theirs, &rows).await;
    assert_eq!((there, restored.added, restored.there), (vec![true], 0, 1));
    let folders = store.folders(other.identity()).await.unwrap();
    assert!(folders.len() == 1 && folders[0].id != boats && folders[0].name.as_str() == "Boats");
    assert_eq!(store.folders(me).await.unwrap()[0].id, boats);

    // One of this name takes its place.
    let mut renamed = rows.clone();
    renamed[0].set("id", ArchiveValue::Id(FolderId::new(bed.now, entropy()).bytes()));
    let (there, restored) = put(&mut own, &renamed).await;
    assert_eq!((there, restored.added, restored.there), (vec![false], 0, 1));

    // Whoever has left meanwhile gets nothing more, whatever was proved before.
    store.close_service(me, Service::Video, bed.now, bed.now).await.unwrap();
    let mut new = rows.clone();
    new[0].set("id", ArchiveValue::Id(FolderId::new(bed.now, entropy()).bytes()));
    new[0].set("name", ArchiveValue::Text("Ships".into()));
    let (there, restored) = put(&mut own, &new).await;
    assert_eq!((there, restored.added), (vec![false], 0));
    assert_eq!(restored.left_out.into_iter().collect::<Vec<_>>(), [(LeftOut::NotMember, 1)]);
    assert_eq!(store.folders(me).await.unwrap().len(), 1);
}

async fn r20_an_import_is_held_by_one_and_ends_once(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let (id, end) = (ImportId::new(bed.now, entropy()), bed.now + Duration::from_secs(86_400));
    store.create_import(me, id, "mine.zip", end, bed.now).await.unwrap();
    assert!(store.claim_import(LEASE, bed.now).await.unwrap().is_none(), "it is not whole");
    for number in 0..2 {
        let key = bed.objects.put_import_part(me, bed.now, id, number, "same".into()).await.unwrap();
        store.add_import_part(id, number, &key, 4).await.unwrap();
    }
    store.import_received(id, end).await.unwrap();
    let key = bed.objects.put_import_part(me, bed.now, id, 2, "late".into()).await.unwrap();
    assert!(matches!(store.add_import_part(id, 2, &key, 4).await, Err(StoreError::State { .. })));
    assert_eq!(store.import_parts(id).await.unwrap().len(), 2);
    let first = store.claim_import(LEASE, bed.now).await.unwrap().unwrap();
    assert_eq!((first.size_bytes, first.state), (8, ImportState::Waiting));
    assert!(store.claim_import(LEASE, bed.now).await.unwrap().is_none());
    let later = bed.now + LEASE;
    let second = store.claim_import(LEASE, later).await.unwrap().unwrap();
    assert!(matches!(store.end_import(&first, Ok("{}"), later).await, Err(StoreError::State { .. })));
    store.end_import(&second, Err("no"), later).await.unwrap();
    let import = store.import(me, id).await.unwrap();
    assert_eq!((import.state, import.error.as_deref()), (ImportState::Refused, Some("no")));
    assert_eq!(store.object_deletions(10).await.unwrap(), [format!("imports/{id}")]);
    assert_eq!(store.expire_imports(end).await.unwrap(), 1);
}

async fn r21_a_destination_keeps_its_secret_sealed_and_knows_what_it_has(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let destination = Destination {
        id: DestinationId::new(bed.now, entropy()),
        identity: me,
        kind: "s3".into(),
        place: "bucket".into(),
        secret: Some("swordfish".into()),
        services: vec!["account".into(), "video".into()],
        every_days: 7,
        next_at: bed.now,
        last_at: None,
        error: None,
        created_at: bed.now,
    };
    store.create_destination(&destination).await.unwrap();
    assert_eq!(store.destinations(me).await.unwrap(), std::slice::from_ref(&destination));
    let sealed = crate::bed::raw::bytes(&bed.url, "SELECT secret FROM export_destinations").await;
    assert!(!sealed.windows(9).any(|window| window == b"swordfish"));
    assert_eq!(store.due_destinations(bed.now, 10).await.unwrap().len(), 1);
    let next = bed.now + LEASE;
    store.set_destination_next(destination.id, next, Ok(Some(bed.now))).await.unwrap();
    assert!(store.due_destinations(bed.now, 10).await.unwrap().is_empty());
    store.set_destination_next(destination.id, next, Err("no")).await.unwrap();
    let told = &store.destinations(me).await.unwrap()[0];
    assert_eq!((told.last_at, told.error.as_deref()), (Some(bed.now), Some("no")));
    for _ in 0..2 {
        store.destination_has(destination.id, &["media/a.mp4".into()]).await.unwrap();
    }
    assert_eq!(store.destination_files(destination.id).await.unwrap(), ["media/a.mp4"]);
    store.delete_destination(me, destination.id).await.unwrap();
    // Whoever was just sending there finds it gone.
    store.destination_has(destination.id, &["media/b.mp4".into()]).await.unwrap();
    assert!(store.destination_files(destination.id).await.unwrap().is_empty());
}

async fn what_is_kept_of_archives_goes_with_its_service(bed: Bed) {
    let (store, me) = (&bed.store, bed.member.identity());
    let id = ask(&bed, &["account", "video"]).await;
    let erase = async |closure: &store::Closure| {
        let ghost = platform::IdentityId::new(bed.now, entropy());
        store.begin_erasure(closure, bed.now).await.unwrap();
        store.erase_rows(closure, ghost, bed.now).await.unwrap();
        store.erasure_objects(closure).await.unwrap()
    };
    store.change_membership(me, Service::Social, MembershipEvent::Join, bed.now).await.unwrap();
    let social = store.close_service(me, Service::Social, bed.now, bed.now).await.unwrap();
    assert_eq!(erase(&social).await, Vec::<String>::new());
    assert_eq!(store.exports(me).await.unwrap().len(), 1);
    // What the receipt waits for.
    let video = store.close_service(me, Service::Video, bed.now, bed.now).await.unwrap();
    assert_eq!(erase(&video).await, [format!("exports/{id}")]);
    assert!(store.exports(me).await.unwrap().is_empty());
}
