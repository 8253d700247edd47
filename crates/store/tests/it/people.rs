use std::time::Duration;

use platform::{
    DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope, DecisionState,
    IdentityId, MembershipEvent, MembershipState, Role, Service, SessionId, Token, TokenKind,
};
use store::{CredentialKind, OneTimeToken, Session, StoreError};

use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(
    an_address_belongs_to_one,
    a_membership_changes_alone,
    a_limit_ends_by_itself,
    a_session_ends,
    a_token_works_once,
    decisions_are_whole
);

async fn an_address_belongs_to_one(bed: Bed) {
    let id = bed.member.identity();
    let again =
        bed.store.create_identity(platform::IdentityId::new(bed.now, entropy()), " Mika@Example.org ", bed.now).await;
    assert!(matches!(again, Err(StoreError::Exists("identity"))));
    assert_eq!(bed.store.identity_by_email("MIKA@example.org").await.unwrap().unwrap().id, id);
    bed.store.confirm_email(id, bed.now).await.unwrap();
    assert_eq!(bed.store.identity(id).await.unwrap().email_confirmed_at, Some(bed.now));
    bed.store.set_credential(id, CredentialKind::Password, "$argon2id$1", bed.now).await.unwrap();
    bed.store.set_credential(id, CredentialKind::Password, "$argon2id$2", bed.now).await.unwrap();
    assert_eq!(bed.store.credential(id, CredentialKind::Password).await.unwrap().as_deref(), Some("$argon2id$2"));
    bed.store.remove_credential(id, CredentialKind::Password).await.unwrap();
    assert_eq!(bed.store.credential(id, CredentialKind::Password).await.unwrap(), None);
    assert_eq!(bed.store.identities(None, 10).await.unwrap().len(), 1);
}

async fn a_membership_changes_alone(bed: Bed) {
    let id = bed.member.identity();
    for service in Service::ALL {
        if service != Service::Video {
            bed.store.change_membership(id, service, MembershipEvent::Join, bed.now).await.unwrap();
        }
    }
    bed.store.change_membership(id, Service::Video, MembershipEvent::Suspend, bed.now).await.unwrap();
    bed.store.add_strike(id, Service::Social).await.unwrap();
    for membership in bed.store.memberships(id).await.unwrap() {
        let video = membership.service == Service::Video;
        let expected = if video { MembershipState::Suspended } else { MembershipState::Active };
        assert_eq!(
            (membership.state, membership.strikes),
            (expected, u32::from(membership.service == Service::Social))
        );
    }
    let again = bed.store.change_membership(id, Service::Video, MembershipEvent::Join, bed.now).await;
    assert!(matches!(again, Err(StoreError::State { .. })));
    assert!(!bed.store.has_administrator().await.unwrap());
    bed.store.set_role(id, Service::Api, Role::Administrator).await.unwrap();
    assert!(bed.store.has_administrator().await.unwrap());
}

async fn a_limit_ends_by_itself(bed: Bed) {
    let (id, later) = (bed.member.identity(), bed.now + Duration::from_secs(60));
    let suspend = MembershipEvent::Suspend;
    bed.store.change_membership_until(id, Service::Video, suspend, Some(later), bed.now).await.unwrap();
    let written = bed.store.membership(id, Service::Video).await.unwrap();
    assert_eq!((written.state, written.limited_until), (MembershipState::Suspended, Some(later)));
    assert_eq!(bed.store.end_limits(later - Duration::from_secs(1), 10).await.unwrap(), 0);
    assert!(written.at(later).active().is_ok());
    assert_eq!(bed.store.end_limits(later, 10).await.unwrap(), 1);
    let ended = bed.store.membership(id, Service::Video).await.unwrap();
    assert_eq!((ended.state, ended.limited_until), (MembershipState::Active, None));
    let entry = &bed.store.audit(1).await.unwrap()[0];
    assert_eq!((entry.actor, entry.action.as_str()), (None, "membership.restore"));

    // What happens after the end starts from there, even if nobody wrote the end down; what has no end stays.
    bed.store.change_membership_until(id, Service::Video, suspend, Some(later), bed.now).await.unwrap();
    bed.store.change_membership(id, Service::Video, suspend, later).await.unwrap();
    assert_eq!(bed.store.end_limits(later + Duration::from_secs(9999), 10).await.unwrap(), 0);
    assert_eq!(bed.store.membership(id, Service::Video).await.unwrap().state, MembershipState::Suspended);
}

async fn a_session_ends(bed: Bed) {
    let (id, token) = (bed.member.identity(), Token::new(TokenKind::Session, [5; 24]));
    let session = Session {
        id: SessionId::new(bed.now, entropy()),
        identity: id,
        label: "Firefox".into(),
        created_at: bed.now,
        authenticated_at: bed.now,
        last_seen_at: bed.now,
        expires_at: bed.now + Duration::from_secs(60),
    };
    bed.store.create_session(token.hash(), &session).await.unwrap();
    assert_eq!(bed.store.session(token.hash(), bed.now).await.unwrap(), Some(session.clone()));
    assert_eq!(bed.store.session(token.hash(), session.expires_at).await.unwrap(), None);
    bed.store.touch_session(session.id, bed.now + Duration::from_secs(120), bed.now).await.unwrap();
    assert!(bed.store.session(token.hash(), session.expires_at).await.unwrap().is_some());
    assert_eq!(bed.store.end_sessions(id, Some(session.id)).await.unwrap(), 0);
    bed.store.end_session(id, session.id).await.unwrap();
    assert_eq!(bed.store.session(token.hash(), bed.now).await.unwrap(), None);
}

async fn a_token_works_once(bed: Bed) {
    let (hash, end) = (Token::new(TokenKind::RecoveryCode, [6; 24]).hash(), bed.now + Duration::from_secs(60));
    let token = OneTimeToken { identity: Some(bed.member.identity()), subject: "code".into() };
    let kind = TokenKind::RecoveryCode;
    bed.store.create_one_time_token(hash, kind, &token, Some(end), bed.now).await.unwrap();
    assert_eq!(bed.store.use_one_time_token(hash, TokenKind::SetUp, bed.now).await.unwrap(), None);
    assert_eq!(bed.store.use_one_time_token(hash, kind, end).await.unwrap(), None);
    assert_eq!(bed.store.use_one_time_token(hash, kind, bed.now).await.unwrap(), Some(token));
    assert_eq!(bed.store.use_one_time_token(hash, kind, bed.now).await.unwrap(), None);
}

async fn decisions_are_whole(bed: Bed) {
    let decision = DecisionRecord {
        id: DecisionId::new(bed.now, entropy()),
        subject: bed.member.identity(),
        scope: DecisionScope::Item,
        service: Some(Service::Social),
        effect: DecisionEffect::Refuse,
        item: DecidedItem::of_words(DecidedKind::Comment, "buy this"),
        ground: "spam".into(),
        rule: DecidedRule::of_house("spam"),
        facts: String::new(),
        evidence: "buy this".into(),
        unlawful: false,
        automated_detection: true,
        author: None,
        second: None,
        strikes: 0,
        decided_at: bed.now,
        ends_at: None,
    };
    bed.store.decide(&decision).await.unwrap();
    let told = bed.store.decisions_about(decision.subject, None, 10).await.unwrap();
    assert_eq!((told.len(), &told[0].record, told[0].state), (1, &decision, DecisionState::Standing));
    // No ground, no rule: the database itself refuses.
    let other = || DecisionRecord { id: DecisionId::new(bed.now, entropy()), ..decision.clone() };
    for without in [
        DecisionRecord { ground: String::new(), ..other() },
        DecisionRecord { rule: DecidedRule { id: String::new(), version: String::new() }, ..other() },
        DecisionRecord { service: None, ..other() },
    ] {
        assert!(matches!(bed.store.decide(&without).await, Err(StoreError::Database(_))), "{without:?}");
    }
    assert_eq!(bed.store.decisions_about(decision.subject, None, 10).await.unwrap().len(), 1);
    // A whole account: the database itself refuses one person alone.
    let (first, second) = (IdentityId::new(bed.now, entropy()), IdentityId::new(bed.now, entropy()));
    let proposed = DecisionRecord {
        scope: DecisionScope::Identity,
        service: None,
        effect: DecisionEffect::Suspend,
        item: DecidedItem::unnamed(DecidedKind::Account),
        author: Some(first),
        ..other()
    };
    assert!(matches!(bed.store.decide(&proposed).await, Err(StoreError::Database(_))));
    bed.store.propose_decision(&proposed).await.unwrap();
    let alone = bed.store.carry_out_proposal(proposed.id, first, bed.now).await;
    assert!(matches!(alone, Err(StoreError::Database(_))), "{alone:?}");
    let suspended = bed.store.carry_out_proposal(proposed.id, second, bed.now).await.unwrap();
    assert!(!suspended.is_empty());
    let again = bed.store.carry_out_proposal(proposed.id, second, bed.now).await;
    assert!(matches!(again, Err(StoreError::NotFound(_))));
}
