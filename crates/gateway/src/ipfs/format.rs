//! Which representation of a CID the client wants.
//!
//! The query parameter wins over `Accept`. Among the types in `Accept` the heaviest that can be made wins, the earlier
//! one of two equals. Types that are no IPLD formats all mean the file: its own type is not known before it is read.

use crate::extract::Parameters;
use crate::problem::{Reply, bad_request, not_acceptable};

/// A representation of a CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// The bytes of a UnixFS file.
    File,
    /// One block.
    Raw,
    /// The DAG as CARv1.
    Car,
}

const FORMATS: &str = "raw, car";
const TYPES: &str = "application/vnd.ipld.raw, application/vnd.ipld.car; version=1; order=dfs; dups=n, */*";
/// Most types of one `Accept` that are looked at.
const TYPES_MAX: usize = 32;
/// What a CAR can be: parameter of the media type, query parameter, accepted values.
const CAR_CHOICES: [(&str, &str, &[&str]); 3] =
    [("version", "car-version", &["1"]), ("order", "car-order", &["dfs", "unk"]), ("dups", "car-dups", &["n"])];

/// Chooses the representation.
pub(super) fn choose(query: &Parameters, accept: Option<&str>) -> Reply<Format> {
    let format = match query.get("format") {
        Some("raw") => Format::Raw,
        Some("car") => Format::Car,
        Some(other) => return Err(bad_request("format", other, FORMATS).into()),
        None => accepted(accept.unwrap_or("*/*"))?,
    };
    if format == Format::Car {
        check_car(query)?;
    }
    Ok(format)
}

fn check_car(query: &Parameters) -> Reply<()> {
    let scope: (&str, &[&str]) = ("dag-scope", &["all"]);
    for (name, values) in CAR_CHOICES.iter().map(|(_, name, values)| (*name, *values)).chain([scope]) {
        if let Some(given) = query.get(name).filter(|given| !values.contains(given)) {
            return Err(bad_request(name, given, values.join(", ")).into());
        }
    }
    Ok(())
}

fn accepted(accept: &str) -> Reply<Format> {
    let mut best: Option<(u32, Format)> = None;
    for range in accept.split(',').take(TYPES_MAX) {
        let weight = weight(range);
        let Some(format) = of_type(range).filter(|_| weight > 0) else { continue };
        if best.is_none_or(|(heaviest, _)| weight > heaviest) {
            best = Some((weight, format));
        }
    }
    match best {
        Some((_, format)) => Ok(format),
        None => Err(not_acceptable(accept, TYPES).into()),
    }
}

/// The representation of a media range with its parameters, or `None` if it cannot be made.
fn of_type(range: &str) -> Option<Format> {
    let mut parts = range.split(';').map(str::trim);
    let essence = parts.next().unwrap_or("").to_ascii_lowercase();
    match essence.as_str() {
        "application/vnd.ipld.raw" => Some(Format::Raw),
        "application/vnd.ipld.car" => parts.all(is_possible).then_some(Format::Car),
        other if other.starts_with("application/vnd.ipld.") || other.starts_with("application/vnd.ipfs.") => None,
        "" => None,
        _ => Some(Format::File),
    }
}

fn is_possible(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    let value = value.trim().trim_matches('"');
    CAR_CHOICES.iter().all(|(known, _, values)| !name.trim().eq_ignore_ascii_case(known) || values.contains(&value))
}

/// The weight of a media range in thousandths (RFC 9110 section 12.4.2); nonsense weighs as much as no weight at all.
fn weight(range: &str) -> u32 {
    let parameters = range.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut weights = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let given = weights.next().and_then(|(_, value)| value.trim().parse::<f32>().ok());
    match given {
        Some(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u32,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(accept: &str) -> Option<Format> {
        choose(&Parameters::default(), Some(accept)).ok()
    }

    fn query(uri: &str, accept: Option<&str>) -> Reply<Format> {
        choose(&Parameters::of(uri), accept)
    }

    #[test]
    fn browsers_get_the_file() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert_eq!(accept(browser), Some(Format::File));
        assert_eq!(choose(&Parameters::default(), None), Ok(Format::File));
    }

    #[test]
    fn trustless_clients_get_what_they_name() {
        assert_eq!(accept("application/vnd.ipld.raw"), Some(Format::Raw));
        assert_eq!(accept("Application/VND.ipld.CAR"), Some(Format::Car));
        assert_eq!(accept("application/vnd.ipld.car; version=1; order=dfs; dups=n"), Some(Format::Car));
        assert_eq!(accept("application/vnd.ipld.car;order=unk"), Some(Format::Car));
    }

    #[test]
    fn the_heaviest_possible_type_wins() {
        assert_eq!(accept("application/vnd.ipld.raw;q=0.2, application/vnd.ipld.car;q=0.3"), Some(Format::Car));
        assert_eq!(accept("application/vnd.ipld.car;version=2, application/vnd.ipld.raw;q=0.1"), Some(Format::Raw));
        assert_eq!(accept("application/vnd.ipld.raw, */*"), Some(Format::Raw));
        assert_eq!(accept("application/vnd.ipld.raw;q=0, */*;q=0.001"), Some(Format::File));
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        for impossible in [
            "application/vnd.ipld.car;version=2",
            "application/vnd.ipld.car;dups=y",
            "application/vnd.ipld.dag-json",
            "application/vnd.ipfs.ipns-record",
            "application/vnd.ipld.raw;q=0",
            "",
        ] {
            assert_eq!(accept(impossible), None, "{impossible:?}");
        }
    }

    #[test]
    fn the_parameter_wins_and_unknown_formats_are_named() {
        assert_eq!(query("/?format=raw", Some("application/vnd.ipld.car")), Ok(Format::Raw));
        assert_eq!(query("/?format=tar", None).unwrap_err().0.detail, r#"format is "tar"; accepted: raw, car"#);
    }

    #[test]
    fn a_car_of_another_kind_is_refused() {
        assert_eq!(query("/?format=car&car-version=1&car-order=dfs&car-dups=n&dag-scope=all", None), Ok(Format::Car));
        for kind in ["car-version=2", "car-order=bfs", "car-dups=y", "dag-scope=entity"] {
            assert_eq!(query(&format!("/?format=car&{kind}"), None).unwrap_err().0.status, 400, "{kind}");
        }
    }
}
