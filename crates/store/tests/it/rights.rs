//! The registry of rights.

use std::time::Duration;

use platform::policy::{RightsEntry, RightsKind, RightsUse, Stance};
use platform::{RightsAgentId, RightsId, RightsRequestId, Token, TokenKind};
use store::{DEFAULT_SCHEDULE, NewRightsRequest, RightsAgent, StoreError, read_schedule};

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    an_entry_counts_from_a_checked_agent_and_within_its_time,
    requests_wait_from_the_oldest_on_and_lapse_after_a_year,
    what_is_not_there_is_said
);

fn agent(bed: &Bed) -> RightsAgent {
    RightsAgent {
        id: RightsAgentId::new(bed.now, entropy()),
        name: "Kumo Pictures".into(),
        contact: "rights@kumo.example".into(),
        proof: String::new(),
        created_at: bed.now,
        verified: None,
        revoked_at: None,
    }
}

fn entry(bed: &Bed) -> RightsEntry {
    RightsEntry {
        id: RightsId::new(bed.now, entropy()),
        kind: RightsKind::Character,
        stance: Stance::OptOut,
        names: vec!["Captain Kumo".into(), "Kumo-chan".into()],
        uses: vec![RightsUse::Prompts, RightsUse::Training],
        holder: "Kumo Pictures".into(),
        from: bed.now,
        until: Some(bed.now + Duration::from_secs(60)),
    }
}

async fn an_entry_counts_from_a_checked_agent_and_within_its_time(bed: Bed) {
    let (store, who) = (&bed.store, bed.member.identity());
    let (agent, entry) = (agent(&bed), entry(&bed));
    store.create_rights_agent(&agent).await.unwrap();
    store.create_rights(agent.id, &entry, bed.now).await.unwrap();
    let standing = async |seconds: u64| store.standing_rights(bed.now + Duration::from_secs(seconds)).await.unwrap();
    assert_eq!(standing(0).await, []);

    store.verify_rights_agent(agent.id, who, "a letter of 3 May", bed.now).await.unwrap();
    assert_eq!(standing(0).await, std::slice::from_ref(&entry));
    assert_eq!(standing(59).await, std::slice::from_ref(&entry));
    assert_eq!(standing(60).await, []);
    let earlier = bed.now - Duration::from_secs(1);
    assert_eq!(store.standing_rights(earlier).await.unwrap(), []);
    let known = store.rights_agent(agent.id).await.unwrap();
    assert_eq!((known.verified, known.proof.as_str()), (Some((who, bed.now)), "a letter of 3 May"));
    assert_eq!(store.rights_agents().await.unwrap(), [known]);

    let stored = store.rights().await.unwrap();
    assert_eq!((stored.len(), &stored[0].entry, stored[0].agent, stored[0].withdrawn_at), (1, &entry, agent.id, None));
    store.withdraw_rights(entry.id, bed.now).await.unwrap();
    assert_eq!(standing(0).await, []);
    assert_eq!(store.rights().await.unwrap()[0].withdrawn_at, Some(bed.now));

    let again = RightsEntry { id: RightsId::new(bed.now, entropy()), until: None, ..entry };
    store.create_rights(agent.id, &again, bed.now).await.unwrap();
    assert_eq!(standing(1_000_000).await, std::slice::from_ref(&again));
    store.revoke_rights_agent(agent.id, bed.now).await.unwrap();
    assert_eq!(standing(0).await, []);
    let third = RightsEntry { id: RightsId::new(bed.now, entropy()), ..again };
    let refused = store.create_rights(agent.id, &third, bed.now).await;
    assert!(matches!(refused, Err(StoreError::NotFound("agent"))));
}

async fn requests_wait_from_the_oldest_on_and_lapse_after_a_year(bed: Bed) {
    let (store, day) = (&bed.store, Duration::from_secs(86_400));
    let mut ids = Vec::new();
    for number in 0..3_u8 {
        let at = bed.now + day * u32::from(number);
        let id = RightsRequestId::new(at, entropy());
        let link = Token::new(TokenKind::RightsRequest, [number; 24]).hash();
        let request = NewRightsRequest { id, link, asker: [number; 32], details: "{}" };
        store.file_rights_request(&request, &[], at).await.unwrap();
        ids.push(id);
    }
    let waiting = async |after: Option<RightsRequestId>, limit: u32| -> Vec<RightsRequestId> {
        let found = store.open_rights_requests(after, limit).await.unwrap();
        found.into_iter().map(|request| request.id).collect()
    };
    assert_eq!(waiting(None, 2).await, [ids[0], ids[1]]);
    assert_eq!(waiting(Some(ids[1]), 2).await, [ids[2]]);
    store.refuse_rights_request(ids[1], "nobody there", &[], bed.member.identity(), bed.now + day * 3).await.unwrap();
    let schedule = read_schedule(DEFAULT_SCHEDULE).unwrap();
    store.run_schedule(&schedule, 100, bed.now + day * 364).await.unwrap();
    assert_eq!(waiting(None, 9).await, [ids[0], ids[2]]);
    // What was decided is kept for its own time.
    store.run_schedule(&schedule, 100, bed.now + day * 366).await.unwrap();
    assert_eq!(waiting(None, 9).await, [ids[2]]);
    assert_eq!(store.rights_request(ids[1]).await.unwrap().answer, "nobody there");
}

async fn what_is_not_there_is_said(bed: Bed) {
    let (store, nobody) = (&bed.store, RightsAgentId::new(bed.now, entropy()));
    let who = bed.member.identity();
    assert!(matches!(store.rights_agent(nobody).await, Err(StoreError::NotFound("agent"))));
    assert!(matches!(store.verify_rights_agent(nobody, who, "", bed.now).await, Err(StoreError::NotFound("agent"))));
    assert!(matches!(store.revoke_rights_agent(nobody, bed.now).await, Err(StoreError::NotFound("agent"))));
    let nothing = RightsId::new(bed.now, entropy());
    assert!(matches!(store.withdraw_rights(nothing, bed.now).await, Err(StoreError::NotFound("entry"))));
}
