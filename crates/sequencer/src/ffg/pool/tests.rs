use super::super::testing::{Branch, DOMAIN, committee};
use super::*;

fn branch() -> (Vec<crate::ffg::VoteSecret>, Branch) {
    let (secrets, set) = committee(0..4, 1);
    let mut branch = Branch::new(set);
    branch.open(None);
    (secrets, branch)
}

#[test]
fn votes_are_added_up_and_count_once() {
    let (secrets, mut branch) = branch();
    let mut pool = Pool::default();
    let vote = branch.state.duty().unwrap();
    for secret in &secrets[..3] {
        let signature = secret.sign_unguarded(&DOMAIN, &vote);
        assert_eq!(pool.insert(&branch.state, &secret.public(), vote, signature), Ok(true));
        assert_eq!(pool.insert(&branch.state, &secret.public(), vote, signature), Ok(false));
    }
    let certificates = pool.certificates(&branch.state);
    assert_eq!((certificates.len(), certificates[0].signers.count()), (1, 3));
    assert_eq!(branch.block(&certificates, None).counted, 3);
    pool.advance(&branch.state);
    assert!(pool.is_empty());
    let late = secrets[3].sign_unguarded(&DOMAIN, &vote);
    assert_eq!(pool.insert(&branch.state, &secrets[0].public(), vote, late), Ok(false));
    assert_eq!(pool.insert(&branch.state, &secrets[3].public(), vote, late), Ok(true));
    let certificates = pool.certificates(&branch.state);
    assert_eq!(branch.block(&certificates, None).counted, 1);
}

#[test]
fn votes_that_cannot_count_are_not_kept() {
    let (secrets, branch) = branch();
    let mut pool = Pool::default();
    let vote = branch.state.duty().unwrap();
    let stranger = &committee(9..10, 1).0[0];
    let error = pool.insert(&branch.state, &stranger.public(), vote, stranger.sign_unguarded(&DOMAIN, &vote));
    assert!(matches!(error, Err(PoolError::Stranger { epoch: 1, .. })));
    let error = pool.insert(&branch.state, &secrets[0].public(), vote, secrets[1].sign_unguarded(&DOMAIN, &vote));
    assert!(matches!(error, Err(PoolError::Signature { epoch: 1, .. })));
    let later = Vote { target: proof::checkpoint::Point { epoch: 2, ..vote.target }, ..vote };
    let error = pool.insert(&branch.state, &secrets[0].public(), later, secrets[0].sign_unguarded(&DOMAIN, &later));
    assert!(matches!(error, Err(PoolError::Vote(VoteError::Target { epoch: 2, .. }))));
    assert_eq!(pool.len(), 0);
}

#[test]
fn pool_forgets_targets_that_are_over() {
    let (secrets, mut branch) = branch();
    let mut pool = Pool::default();
    let vote = branch.state.duty().unwrap();
    pool.insert(&branch.state, &secrets[0].public(), vote, secrets[0].sign_unguarded(&DOMAIN, &vote)).unwrap();
    branch.open(None);
    pool.advance(&branch.state);
    assert_eq!(pool.len(), 1);
    branch.open(None);
    pool.advance(&branch.state);
    assert!(pool.is_empty() && pool.certificates(&branch.state).is_empty());
}
