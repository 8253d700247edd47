use platform::{CommentId, CommentText, PostId, Switches, Viewer, Visibility};
use store::{NewComment, PostEdit, StoreError};

use super::{Person, Stage, edit};
use crate::bed::{Bed, entropy};
use crate::on_both;

on_both!(threads_keep_their_shape, authors_moderate_below_their_posts, blocked_people_do_not_read_each_other);

async fn write(
    stage: &Stage,
    by: Person,
    post: PostId,
    parent: Option<CommentId>,
    text: &str,
) -> Result<(CommentId, bool), StoreError> {
    let (id, text) = (CommentId::new(stage.now(), entropy()), CommentText::parse(text).unwrap());
    let comment = NewComment { id, post: post.into(), parent, text: &text };
    stage.store().create_comment(by.member, &comment, stage.now()).await.map(|held| (id, held))
}

async fn threads_keep_their_shape(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan) = (stage.person("mika").await, stage.person("fan").await);
    let post = stage.post(mika, Visibility::Public, "").await;
    let (first, _) = write(&stage, fan, post, None, "lovely").await.unwrap();
    let (answer, _) = write(&stage, mika, post, Some(first), "thanks").await.unwrap();
    let (deeper, _) = write(&stage, fan, post, Some(answer), "more!").await.unwrap();
    let (second, _) = write(&stage, fan, post, None, "again").await.unwrap();
    let top = stage.store().comments(Viewer::SIGNED_OUT, post, None, 10).await.unwrap();
    let ids = |comments: &[store::Comment]| comments.iter().map(|comment| comment.id).collect::<Vec<_>>();
    assert_eq!((ids(&top), top[1].answers), (vec![second, first], 2));
    let next = stage.store().comments(Viewer::SIGNED_OUT, post, Some(second), 10).await.unwrap();
    assert_eq!(ids(&next), [first]);
    let answers = stage.store().answers(Viewer::SIGNED_OUT, post, first, None, 10).await.unwrap();
    assert_eq!((ids(&answers), answers[1].parent), (vec![answer, deeper], Some(answer)));
    assert_eq!(stage.store().post(Viewer::SIGNED_OUT, post).await.unwrap().comments, 4);
    // Deleted, a comment stays as a gap while something answers it.
    stage.store().delete_comment(fan.member, first, stage.now()).await.unwrap();
    let top = stage.store().comments(Viewer::SIGNED_OUT, post, None, 10).await.unwrap();
    assert_eq!((ids(&top), &top[1].text, &top[1].author), (vec![second, first], &None, &None));
    stage.store().delete_comment(fan.member, second, stage.now()).await.unwrap();
    let top = stage.store().comments(Viewer::SIGNED_OUT, post, None, 10).await.unwrap();
    assert_eq!(ids(&top), [first]);
    assert_eq!(stage.store().post(Viewer::SIGNED_OUT, post).await.unwrap().comments, 2);
    let again = stage.store().delete_comment(fan.member, first, stage.now()).await;
    assert!(matches!(again, Err(StoreError::NotFound("comment"))));
}

async fn authors_moderate_below_their_posts(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan, third) = (stage.person("mika").await, stage.person("fan").await, stage.person("third").await);
    let post = stage.post(mika, Visibility::Public, "").await;
    stage.store().set_hidden_words(mika.member, &["Bad Word".into(), " ".into()]).await.unwrap();
    assert_eq!(stage.store().hidden_words(mika.member).await.unwrap(), ["Bad Word"]);
    let (held, waits) = write(&stage, fan, post, None, "such BAD words here").await.unwrap();
    assert!(waits && !write(&stage, mika, post, None, "bad word, by its author").await.unwrap().1);
    let sees = async |viewer| {
        let comments = stage.store().comments(viewer, post, None, 10).await.unwrap();
        comments.iter().any(|comment| comment.id == held)
    };
    let (anyone, owner, writer) = (sees(third.viewer).await, sees(mika.viewer).await, sees(fan.viewer).await);
    assert_eq!((anyone, owner, writer, sees(Viewer::SIGNED_OUT).await), (false, true, true, false));
    assert!(stage.store().show_comment(fan.member, held).await.is_err());
    stage.store().show_comment(mika.member, held).await.unwrap();
    assert!(sees(Viewer::SIGNED_OUT).await);
    assert_eq!(stage.store().post(Viewer::SIGNED_OUT, post).await.unwrap().comments, 2);
    stage.store().hold_comment(mika.member, held).await.unwrap();
    assert!(!sees(third.viewer).await);
    assert!(stage.store().delete_comment(third.member, held, stage.now()).await.is_err());
    stage.store().delete_comment(mika.member, held, stage.now()).await.unwrap();
    assert!(!sees(mika.viewer).await);
    // Closed below this post, for all but its author.
    let switches = Switches { comments: false, ..Switches::default() };
    let closed = PostEdit { switches, ..edit(Visibility::Public, "") };
    stage.store().edit_post(mika.member, post, &closed, stage.now()).await.unwrap();
    assert!(matches!(write(&stage, fan, post, None, "but").await, Err(StoreError::State { what: "post", .. })));
    write(&stage, mika, post, None, "closed").await.unwrap();
}

async fn blocked_people_do_not_read_each_other(bed: Bed) {
    let stage = Stage::on(bed).await;
    let (mika, fan, third) = (stage.person("mika").await, stage.person("fan").await, stage.person("third").await);
    let post = stage.post(mika, Visibility::Public, "").await;
    let (comment, _) = write(&stage, fan, post, None, "hello").await.unwrap();
    stage.store().block(fan.member, third.id, stage.now()).await.unwrap();
    assert!(stage.store().comments(third.viewer, post, None, 10).await.unwrap().is_empty());
    let answer = write(&stage, third, post, Some(comment), "you").await;
    assert!(matches!(answer, Err(StoreError::NotFound("comment"))));
    assert_eq!(stage.store().comments(mika.viewer, post, None, 10).await.unwrap().len(), 1);
    let hidden = stage.post(mika, Visibility::OnlyMe, "").await;
    assert!(matches!(write(&stage, fan, hidden, None, "peek").await, Err(StoreError::NotFound("post"))));
}
