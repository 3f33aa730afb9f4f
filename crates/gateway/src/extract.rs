//! Names in paths and parameters in queries, parsed once and refused with what would be accepted.
//!
//! Unknown and repeated parameters are refused everywhere but under `/ipfs`, where clients of other gateways add their
//! own.

use crate::problem::{ProblemResponse, Reply, bad_request};
use alloy_primitives::{Address, B256};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use cid::Cid;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Most parameters that are looked at in one query.
const PARAMETERS_MAX: usize = 32;

/// Most shards of a payload.
const SHARDS_MAX: u32 = 384;

/// Something that a path segment names.
pub(crate) trait Name: Sized {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// What is accepted.
    const ACCEPTED: &'static str;
    /// Reads the decoded segment.
    fn read(text: &str) -> Option<Self>;
}

/// The one name in the path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Named<T>(pub T);

/// A job id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId(pub u64);

/// A namespace of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Namespace(pub u64);

/// A height of the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Height(pub u64);

/// The number of a shard of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShardIndex(pub u32);

impl Name for ShardIndex {
    const WHAT: &'static str = "number of a shard";
    const ACCEPTED: &'static str = "0 to 383; a payload has 3 to 384 shards, by its size";

    fn read(text: &str) -> Option<Self> {
        let index = u32::try_from(number(text)?).ok()?;
        (index < SHARDS_MAX).then_some(Self(index))
    }
}

impl Name for Cid {
    const WHAT: &'static str = "cid";
    const ACCEPTED: &'static str = "a CID, such as bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

    /// Content is kept by CIDv1; a CIDv0 is the same content under its older spelling.
    fn read(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric());
        plain.then(|| Cid::from_str(text).ok()?.into_v1().ok())?
    }
}

impl Name for Address {
    const WHAT: &'static str = "address";
    const ACCEPTED: &'static str = "0x and 40 hex digits, with the right EIP-55 checksum if letters have mixed case";

    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("0x")?;
        let has = |f: fn(&u8) -> bool| digits.as_bytes().iter().any(f);
        if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
            return Address::parse_checksummed(text, None).ok();
        }
        text.parse().ok()
    }
}

impl Name for B256 {
    const WHAT: &'static str = "hash";
    const ACCEPTED: &'static str = "64 hex digits, with or without 0x";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Name for JobId {
    const WHAT: &'static str = "job id";
    const ACCEPTED: &'static str = "a decimal number up to 18446744073709551615";

    fn read(text: &str) -> Option<Self> {
        number(text).map(Self)
    }
}

impl Name for Namespace {
    const WHAT: &'static str = "namespace";
    const ACCEPTED: &'static str = JobId::ACCEPTED;

    fn read(text: &str) -> Option<Self> {
        number(text).map(Self)
    }
}

impl Name for Height {
    const WHAT: &'static str = "height";
    const ACCEPTED: &'static str = JobId::ACCEPTED;

    fn read(text: &str) -> Option<Self> {
        number(text).map(Self)
    }
}

impl<T: Name, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Reply<Self> {
        let text = match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => text,
            Err(_) => return Err(bad_request(T::WHAT, parts.uri.path(), T::ACCEPTED).into()),
        };
        T::read(&text).map(Self).ok_or_else(|| bad_request(T::WHAT, text, T::ACCEPTED).into())
    }
}

/// Two names in the path of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NamedPair<A, B>(pub A, pub B);

impl<A: Name, B: Name, S: Send + Sync> FromRequestParts<S> for NamedPair<A, B> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Reply<Self> {
        let Ok(Path((first, second))) = Path::<(String, String)>::from_request_parts(parts, state).await else {
            return Err(bad_request("path", parts.uri.path(), format!("{} and {}", A::ACCEPTED, B::ACCEPTED)).into());
        };
        let first = A::read(&first).ok_or_else(|| bad_request(A::WHAT, first, A::ACCEPTED))?;
        let second = B::read(&second).ok_or_else(|| bad_request(B::WHAT, second, B::ACCEPTED))?;
        Ok(Self(first, second))
    }
}

/// The query of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Reply<Self> {
        let refused = || bad_request("query", parts.uri.query().unwrap_or(""), "up to 32 pairs name=value in UTF-8");
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|_| refused())?;
        if pairs.len() > PARAMETERS_MAX {
            return Err(refused().into());
        }
        Ok(Self(pairs))
    }
}

impl Parameters {
    /// Refuses any parameter that is not in `known`, and any that comes twice.
    pub fn only(self, known: &[&str]) -> Reply<Self> {
        let accepted = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        for (position, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(bad_request("query parameter", name, accepted).into());
            }
            if self.0[..position].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad_request("repeated query parameter", name, "each parameter once").into());
            }
        }
        Ok(self)
    }

    /// The parameters of `uri`.
    #[cfg(test)]
    pub fn of(uri: &str) -> Self {
        Self(Query::try_from_uri(&uri.parse().unwrap()).unwrap().0)
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A number within `range`, if given.
    pub fn number(&self, name: &str, range: RangeInclusive<u64>) -> Reply<Option<u64>> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match number(text).filter(|n| range.contains(n)) {
            Some(n) => Ok(Some(n)),
            None => Err(bad_request(name, text, format!("{}..={}", range.start(), range.end())).into()),
        }
    }

    /// How many: 1 to `max`.
    pub fn limit(&self, name: &str, max: usize, default: usize) -> Reply<usize> {
        let given = self.number(name, 1..=max as u64)?;
        Ok(given.map_or(default, |n| usize::try_from(n).expect("not above max, which is a usize")))
    }

    /// `true` or `false`; absent means `false`.
    pub fn flag(&self, name: &str) -> Reply<bool> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(bad_request(name, other, "true, false").into()),
        }
    }
}

/// Decimal digits and nothing else.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters(pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect())
    }

    fn detail<T: std::fmt::Debug>(reply: Reply<T>) -> String {
        reply.unwrap_err().0.detail
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number("18446744073709551615"), Some(u64::MAX));
        for text in ["", "+5", "-1", " 1", "1.0", "0x1", "18446744073709551616", "١"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }

    #[test]
    fn both_versions_of_a_cid_name_the_same_content() {
        let v0 = Cid::read("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n").unwrap();
        let v1 = Cid::read("bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku").unwrap();
        assert_eq!(v0, v1);
    }

    #[test]
    fn what_is_not_quite_a_cid_is_refused() {
        for text in ["", "b", "bafy", "/ipfs/bafkqaaa", "bafkqaaa ", "Qm", "é"] {
            assert_eq!(Cid::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_with_a_wrong_checksum_is_refused() {
        let right = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
        assert!(Address::read(right).is_some());
        assert_eq!(Address::read(&right.to_lowercase()), Address::read(right));
        assert_eq!(Address::read(&right.replace("Fd6", "fd6")), None);
        for text in ["", "0x", &right[2..], &right[..41], "0xzz9Fd6e51aad88F6F4ce6aB8827279cffFb92266"] {
            assert_eq!(Address::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused_by_name() {
        assert_eq!(
            detail(parameters(&[("limt", "3")]).only(&["limit"])),
            r#"query parameter is "limt"; accepted: limit"#
        );
        assert_eq!(detail(parameters(&[("x", "3")]).only(&[])), r#"query parameter is "x"; accepted: none"#);
        assert!(parameters(&[("a", "1"), ("a", "2")]).only(&["a"]).is_err());
        assert!(parameters(&[("a", "1"), ("b", "2")]).only(&["a", "b"]).is_ok());
    }

    #[test]
    fn a_limit_is_within_its_range() {
        assert_eq!(parameters(&[]).limit("limit", 10, 5), Ok(5));
        assert_eq!(parameters(&[("limit", "10")]).limit("limit", 10, 5), Ok(10));
        for beyond in ["0", "11", "ten", ""] {
            let reply = parameters(&[("limit", beyond)]).limit("limit", 10, 5);
            assert_eq!(detail(reply), format!("limit is {beyond:?}; accepted: 1..=10"));
        }
    }

    #[test]
    fn a_flag_is_true_or_false() {
        assert_eq!(parameters(&[("follow", "true")]).flag("follow"), Ok(true));
        assert_eq!(parameters(&[]).flag("follow"), Ok(false));
        assert!(parameters(&[("follow", "yes")]).flag("follow").is_err());
    }
}
