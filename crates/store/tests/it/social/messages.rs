use platform::{ConversationId, MessageId, MessageText};
use store::{NewMessage, StoreError};

use super::{Person, Stage};
use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(a_stranger_asks_first, a_request_can_be_declined, a_block_ends_a_conversation);

async fn send(stage: &Stage, from: Person, to: Person, text: &str) -> Result<ConversationId, StoreError> {
    let text = MessageText::parse(text).unwrap();
    let (id, conversation) = (MessageId::new(stage.now(), entropy()), ConversationId::new(stage.now(), entropy()));
    let message = NewMessage { id, conversation, to: to.id, text: &text, post: None };
    stage.store().send_message(from.member, &message, stage.now()).await
}

async fn inbox(stage: &Stage, of: Person, requests: bool) -> Vec<store::Conversation> {
    stage.store().conversations(of.member, requests, None, 10).await.unwrap()
}

async fn a_stranger_asks_first(bed: Bed) {
    let mut stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let conversation = send(&stage, fan, mika, "one").await.unwrap();
    send(&stage, fan, mika, "two").await.unwrap();
    assert_eq!(send(&stage, fan, mika, "three").await.unwrap(), conversation);
    assert!(matches!(send(&stage, fan, mika, "four").await, Err(StoreError::State { .. })));
    assert!(inbox(&stage, mika, false).await.is_empty());
    let asked = inbox(&stage, mika, true).await;
    assert_eq!((asked[0].with.identity, asked[0].accepted, asked[0].unread), (fan.id, false, true));
    assert!(inbox(&stage, fan, false).await[0].began && inbox(&stage, fan, true).await.is_empty());
    assert_eq!(stage.store().conversation_with(mika.member, fan.id).await.unwrap().as_ref(), asked.first());
    let unread = async |of: Person| stage.store().has_unread_messages(of.member).await.unwrap();
    assert_eq!((unread(mika).await, unread(fan).await), (true, false));
    stage.tick();
    send(&stage, mika, fan, "hello").await.unwrap();
    assert!(inbox(&stage, mika, true).await.is_empty() && !inbox(&stage, mika, false).await[0].unread);
    assert!(inbox(&stage, fan, false).await[0].unread);
    stage.store().read_conversation(fan.member, conversation, stage.now()).await.unwrap();
    assert!(!inbox(&stage, fan, false).await[0].unread);
    send(&stage, fan, mika, "four").await.unwrap();
    let messages = stage.store().messages(mika.member, conversation, None, 10).await.unwrap();
    let texts: Vec<_> = messages.iter().map(|message| message.text.as_ref().unwrap().as_str()).collect();
    assert_eq!(texts, ["four", "hello", "three", "two", "one"]);
    let older = stage.store().messages(mika.member, conversation, Some(messages[2].id), 10).await.unwrap();
    assert_eq!(older.len(), 2);
    assert!(stage.store().delete_message(mika.member, messages[0].id, stage.now()).await.is_err());
    stage.store().delete_message(fan.member, messages[0].id, stage.now()).await.unwrap();
    assert_eq!(stage.store().messages(mika.member, conversation, None, 1).await.unwrap()[0].text, None);
    let third = stage.person("third").await;
    assert_eq!(stage.store().conversation_with(third.member, fan.id).await.unwrap(), None);
    let peek = stage.store().messages(third.member, conversation, None, 10).await;
    assert!(matches!(peek, Err(StoreError::NotFound("conversation"))));
    assert!(stage.store().read_conversation(third.member, conversation, stage.now()).await.is_err());
    // Whom one follows may write at once.
    stage.store().follow(third.member, fan.id, stage.now()).await.unwrap();
    send(&stage, fan, third, "hi").await.unwrap();
    assert_eq!((inbox(&stage, third, false).await.len(), inbox(&stage, third, true).await.len()), (1, 0));
}

async fn a_request_can_be_declined(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let conversation = send(&stage, fan, mika, "one").await.unwrap();
    let own = stage.store().answer_request(fan.member, conversation, true, stage.now()).await;
    assert!(matches!(own, Err(StoreError::NotFound("conversation"))));
    stage.store().answer_request(mika.member, conversation, false, stage.now()).await.unwrap();
    assert!(inbox(&stage, mika, true).await.is_empty());
    assert!(matches!(send(&stage, fan, mika, "two").await, Err(StoreError::State { .. })));
    stage.store().answer_request(mika.member, conversation, true, stage.now()).await.unwrap();
    send(&stage, fan, mika, "two").await.unwrap();
    assert!(inbox(&stage, mika, false).await[0].accepted);
}

async fn a_block_ends_a_conversation(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let conversation = send(&stage, fan, mika, "one").await.unwrap();
    send(&stage, mika, fan, "two").await.unwrap();
    stage.store().block(mika.member, fan.id, stage.now()).await.unwrap();
    for (person, other) in [(mika, fan), (fan, mika)] {
        assert!(inbox(&stage, person, false).await.is_empty());
        assert!(stage.store().messages(person.member, conversation, None, 10).await.is_err());
        assert!(matches!(send(&stage, person, other, "three").await, Err(StoreError::NotFound("profile"))));
    }
}
