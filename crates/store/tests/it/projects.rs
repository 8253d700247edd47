use std::time::Duration;

use platform::{Credits, Invite, LedgerEntryId, ModelName, Token, TokenKind};
use store::{File, Page, StoredInvite};

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(a_grant_is_given_once, an_invite_is_used_up, requests_are_counted, settings_and_aliases, files_come_and_go);

async fn a_grant_is_given_once(bed: Bed) {
    let id = LedgerEntryId::new(bed.now, entropy());
    for _ in 0..2 {
        bed.store.grant(id, bed.project, Credits::from_micros(5), "gift", bed.now).await.unwrap();
    }
    assert_eq!(bed.store.balance(bed.project).await.unwrap().balance.micros(), 1_000_000_005);
}

async fn an_invite_is_used_up(bed: Bed) {
    let hash = Token::new(TokenKind::Invite, [3; 24]).hash();
    let invite = Invite { tier: "default".into(), uses_allowed: 2, uses: 0, expires_at: None, revoked_at: None };
    let stored = StoredInvite { hash, note: "friends".into(), invite, created_at: bed.now };
    bed.store.create_invite(&stored).await.unwrap();
    assert_eq!(bed.store.invites().await.unwrap(), [stored]);
    let uses = async || bed.store.use_invite(hash, bed.now).await.unwrap();
    assert_eq!((uses().await, uses().await, uses().await), (true, true, false));
    bed.store.revoke_invite(hash, bed.now).await.unwrap();
    assert_eq!(bed.store.invite(hash).await.unwrap().unwrap().revoked_at, Some(bed.now));
}

async fn requests_are_counted(bed: Bed) {
    let ask = async |now| bed.store.count_request(bed.project, 2, now).await.unwrap().allowed;
    assert_eq!((ask(bed.now).await, ask(bed.now).await, ask(bed.now).await), (true, true, false));
    assert!(ask(bed.now + Duration::from_secs(30)).await);
}

async fn settings_and_aliases(bed: Bed) {
    assert_eq!(bed.store.setting_or("link_key", "a", bed.now).await.unwrap(), "a");
    assert_eq!(bed.store.setting_or("link_key", "b", bed.now).await.unwrap(), "a");
    let name = |text| ModelName::parse(text).unwrap();
    bed.store.set_model_alias(&name("sora-2"), Some(&name("paper-1")), bed.now).await.unwrap();
    assert_eq!(bed.store.model_aliases().await.unwrap(), [(name("sora-2"), name("paper-1"))]);
    bed.store.set_model_alias(&name("sora-2"), None, bed.now).await.unwrap();
    assert!(bed.store.model_aliases().await.unwrap().is_empty());
}

async fn files_come_and_go(bed: Bed) {
    let mut ids = Vec::new();
    for name in ["a.png", "b.jsonl"] {
        let id = platform::FileId::new(bed.now, entropy());
        let key = bed.objects.put_upload(bed.subject(), &id, name.into()).await.unwrap();
        let file = File {
            id,
            project: bed.project,
            filename: name.into(),
            purpose: if name == "a.png" { "vision" } else { "batch" }.into(),
            media_type: "image/png".into(),
            size_bytes: 5,
            key,
            created_at: bed.now,
            expires_at: (name == "a.png").then(|| bed.now + Duration::from_secs(10)),
        };
        bed.store.create_file(&file).await.unwrap();
        assert_eq!(bed.store.file(bed.project, id).await.unwrap(), file);
        ids.push(id);
    }
    let listed = async |purpose| bed.store.files(bed.project, purpose, Page::default()).await.unwrap().len();
    assert_eq!((listed(None).await, listed(Some("batch")).await), (2, 1));
    let page = Page { after: Some(ids[1]), ..Page::default() };
    assert_eq!(bed.store.files(bed.project, Some("vision"), page).await.unwrap()[0].id, ids[0]);
    assert_eq!(bed.store.expire_files(bed.now + Duration::from_secs(10), bed.now).await.unwrap(), 1);
    bed.store.delete_file(bed.project, ids[1], bed.now).await.unwrap();
    assert_eq!(bed.store.object_deletions(10).await.unwrap().len(), 2);
}
