#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as B64;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn ring(seed: u64) -> Keyring {
    Keyring::in_memory(Dice::seeded(seed))
}

#[test]
fn a_token_says_who_its_bearer_is_until_it_expires() {
    let ring = ring(1);
    let token = ring.issue(Role::Customer, "cus_1", at(1_000), HOUR).unwrap();
    for now in [0, 1_000, 1_000, 4_599] {
        let caller = ring.verify(&token, at(now)).unwrap();
        assert_eq!((caller.role, caller.subject.as_str()), (Role::Customer, "cus_1"));
    }
    assert_eq!(ring.verify(&token, at(4_600)), Err(AuthError::Expired(at(4_600))));
}

#[test]
fn nobody_else_can_make_or_change_a_token() {
    let ring = ring(1);
    let token = ring.issue(Role::Customer, "cus_1", at(0), HOUR).unwrap();
    let foreign = self::ring(2).issue(Role::Operator, "eve", at(0), HOUR).unwrap();
    assert_eq!(ring.verify(&foreign, at(1)), Err(AuthError::Invalid));
    for i in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        assert_eq!(ring.verify(&forged, at(1)), Err(AuthError::Invalid), "byte {i}");
    }
    for bad in ["", ".", "..", "a.b.c", "ey.ey.ey", &token[..token.len() - 1], &format!("{token}A"), &"x".repeat(2_000)]
    {
        assert_eq!(ring.verify(bad, at(1)), Err(AuthError::Invalid), "{bad}");
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_verified() {
    let ring = ring(1);
    let token = ring.issue(Role::Customer, "cus_1", at(0), HOUR).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    for alg in ["none", "HS256", "eddsa"] {
        let header = B64.encode(format!(r#"{{"alg":"{alg}","kid":"memory"}}"#));
        let signed = format!("{header}.{}.{}", parts[1], parts[2]);
        assert_eq!(ring.verify(&signed, at(1)), Err(AuthError::Invalid));
        assert_eq!(ring.verify(&format!("{header}.{}.", parts[1]), at(1)), Err(AuthError::Invalid));
    }
}

#[test]
fn keys_rotate_and_retire() {
    let dir = tempfile::tempdir().unwrap();
    let ring = Keyring::load_or_create(dir.path(), at(1)).unwrap();
    let old = ring.issue(Role::Operator, "kim", at(1), HOUR).unwrap();
    let other = Keyring::load_or_create(dir.path(), at(2)).unwrap();
    assert_eq!(ring.kids(), other.kids());
    ring.rotate(at(2)).unwrap();
    let new = ring.issue(Role::Operator, "kim", at(2), HOUR).unwrap();
    for token in [&old, &new] {
        assert!(ring.verify(token, at(3)).is_ok());
        assert!(other.verify(token, at(3)).is_ok(), "another process finds the new key");
    }
    ring.retire(&ring.kids()[0]).unwrap();
    assert_eq!(ring.verify(&old, at(3)), Err(AuthError::Invalid));
    assert!(ring.verify(&new, at(3)).is_ok());
    assert!(ring.retire(&ring.kids()[0]).is_err(), "the last key stays");
}

#[test]
fn a_running_process_follows_the_keys_that_another_changes() {
    let dir = tempfile::tempdir().unwrap();
    let [running, command] = [0, 1].map(|_| Keyring::load_or_create(dir.path(), at(1)).unwrap());
    let old = running.issue(Role::Operator, "kim", at(1), HOUR).unwrap();
    let before = running.generation(at(1));
    command.rotate(at(10)).unwrap();
    // A token of a key that nobody here knows makes it look at once, though it has just looked.
    assert!(running.verify(&old, at(10)).is_ok());
    let new = command.issue(Role::Operator, "kim", at(10), HOUR).unwrap();
    assert!(running.verify(&new, at(11)).is_ok());
    assert_eq!(running.kids(), command.kids());
    assert_ne!(running.generation(at(11)), before, "whoever keeps a token signs a new one");

    command.rotate(at(20)).unwrap();
    let signed = |now: i64| {
        let token = running.issue(Role::Service, "customer", at(now), HOUR).unwrap();
        token::split(&token).unwrap().kid
    };
    assert_eq!(signed(30), command.kids()[2], "it signs with the newest key without ever having met its tokens");
    command.retire(&command.kids()[0]).unwrap();
    assert!(running.verify(&old, at(31)).is_ok(), "not looked yet");
    assert_eq!(running.verify(&old, at(36)), Err(AuthError::Invalid), "a token that was known goes with its key");
    assert!(running.verify(&new, at(36)).is_ok());
}

#[test]
fn a_key_is_outlived_when_its_last_token_is() {
    let dir = tempfile::tempdir().unwrap();
    let ring = Keyring::load_or_create(dir.path(), at(0)).unwrap();
    let longest = i64::try_from(TTL_SECONDS_MAX).unwrap();
    ring.rotate(at(1_000)).unwrap();
    ring.rotate(at(2_000)).unwrap();
    let late = ring.issue(Role::Operator, "kim", at(1_000), Duration::from_secs(TTL_SECONDS_MAX)).unwrap();
    assert!(ring.verify(&late, at(longest)).is_ok());
    assert_eq!(ring.retire_outlived(at(longest + 1_000)).unwrap(), Vec::<String>::new(), "and an hour to spare");
    let kids = ring.kids();
    assert_eq!(ring.retire_outlived(at(longest + 4_601)).unwrap(), kids[..1]);
    assert_eq!(ring.retire_outlived(at(longest * 9)).unwrap(), kids[1..2], "the one that signs stays");
    assert_eq!(Keyring::load_or_create(dir.path(), at(3)).unwrap().kids(), kids[2..]);
}

#[test]
fn key_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    Keyring::load_or_create(dir.path(), at(1)).unwrap();
    let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Keyring::load_or_create(dir.path(), at(1)).unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
}

#[test]
fn the_cache_is_bounded_and_forgets_nothing_true() {
    let ring = ring(1);
    let first = ring.issue(Role::Service, "s", at(0), HOUR).unwrap();
    for i in 0..300 {
        let token = ring.issue(Role::Customer, &format!("cus_{i}"), at(0), HOUR).unwrap();
        assert_eq!(ring.verify(&token, at(1)).unwrap().subject, format!("cus_{i}"));
    }
    assert!(ring.verify(&first, at(1)).is_ok());
}

#[test]
fn subjects_and_lives_have_limits() {
    let ring = ring(1);
    for (subject, ttl) in [("", HOUR), ("a b", HOUR), ("김", HOUR), ("a", Duration::ZERO), ("a", Duration::MAX)] {
        assert!(matches!(ring.issue(Role::Operator, subject, at(0), ttl), Err(AuthError::Use(_))));
    }
    assert!(ring.issue(Role::Operator, &"x".repeat(SUBJECT_CHARS_MAX + 1), at(0), HOUR).is_err());
    let longest = Caller { role: Role::Operator, subject: "x".repeat(SUBJECT_CHARS_MAX) };
    assert!(longest.key("k").caller.len() <= 64);
}

#[test]
fn a_login_link_is_good_once() {
    let ring = ring(1);
    let links = LoginLinks::new(ring.clone(), Dice::seeded(3));
    let code = links.offer(Role::Operator, "kim", at(0)).unwrap();
    let (session, _) = links.redeem(&code, at(1)).unwrap();
    assert_eq!(ring.verify(&session, at(2)).unwrap().subject, "kim");
    assert_eq!(links.redeem(&code, at(2)), Err(AuthError::Invalid));
    let late = links.offer(Role::Operator, "kim", at(0)).unwrap();
    assert!(matches!(links.redeem(&late, at(900)), Err(AuthError::Expired(_))));
}

#[test]
fn a_session_lasts_no_longer_than_the_token_that_began_it() {
    let ring = ring(1);
    let links = LoginLinks::new(ring.clone(), Dice::seeded(2));
    let token = ring.issue(Role::Operator, "kim", at(0), HOUR).unwrap();
    let (session, seconds) = links.exchange(&token, at(600)).unwrap();
    assert_eq!((seconds, ring.verify(&session, at(3_599)).unwrap().subject.as_str()), (3_000, "kim"));
    assert_eq!(ring.verify(&session, at(3_600)), Err(AuthError::Expired(at(3_600))));
    let long = ring.issue(Role::Operator, "kim", at(0), HOUR * 100).unwrap();
    assert_eq!(links.exchange(&long, at(0)).unwrap().1, 12 * 3_600);
    assert!(matches!(links.exchange(&token, at(3_600)), Err(AuthError::Expired(_))));
    assert_eq!(links.exchange("x.y.z", at(0)), Err(AuthError::Invalid));
}
