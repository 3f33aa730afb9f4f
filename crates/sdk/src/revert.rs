//! Why a contract refused, in words.
//!
//! Solidity returns custom errors as a selector and ABI-encoded values. All errors of the system contracts are known
//! here, with the names of their values: `EscrowUnderpaid { sent: 5, required: 8 }` says what to do, `0x3a1c…` does not.

use alloy_primitives::Bytes;
use alloy_sol_types::{Panic, Revert as RevertString, SolError, SolInterface};
use protocol::abi::{
    IEscrow, IFeeVault, IJobMarket, IProviderRegistry, IRandomness, IReputation, IRollupRegistry, ISlashingCourt,
    IStakeManager, IValidatorRegistry, IWAKE,
};
use std::fmt;

#[allow(missing_docs)]
mod standard {
    use alloy_sol_types::sol;
    sol! {
        /// Errors of the OpenZeppelin bases that the system contracts stand on.
        #[derive(Debug)]
        interface Standard {
            error AccessManagedUnauthorized(address caller);
            error AccessManagedRequiredDelay(address caller, uint32 delay);
            error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed);
            error ERC20InsufficientAllowance(address spender, uint256 allowance, uint256 needed);
            error ReentrancyGuardReentrantCall();
            error SafeCastOverflowedUintDowncast(uint8 bits, uint256 value);
            error ECDSAInvalidSignature();
            error ECDSAInvalidSignatureLength(uint256 length);
            error ECDSAInvalidSignatureS(bytes32 s);
        }
    }
}

/// What a contract returned instead of a result.
#[derive(Clone, PartialEq, Eq)]
pub struct Revert {
    data: Bytes,
}

impl Revert {
    /// From the bytes that the node reported.
    pub fn new(data: Bytes) -> Self {
        Self { data }
    }

    /// The bytes as returned.
    pub fn data(&self) -> &Bytes {
        &self.data
    }

    /// The error with its values, if it is an `E`.
    pub fn decode<E: SolError>(&self) -> Option<E> {
        (self.data.get(..4)? == E::SELECTOR).then(|| E::abi_decode(&self.data).ok())?
    }

    /// Whether the error is an `E`, whatever its values.
    pub fn is<E: SolError>(&self) -> bool {
        self.data.get(..4) == Some(&E::SELECTOR)
    }
}

impl fmt::Debug for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Revert({self})")
    }
}

impl fmt::Display for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.data.is_empty() {
            return f.write_str("the contract gave no reason");
        }
        if let Some(reason) = self.decode::<RevertString>() {
            return f.write_str(&reason.reason);
        }
        if let Some(panic) = self.decode::<Panic>() {
            return write!(f, "Solidity panic 0x{:02x}", panic.code);
        }
        match named(&self.data) {
            Some(text) => f.write_str(&text),
            None => write!(f, "unknown error {}", self.data),
        }
    }
}

/// The error as `Name { value: …, … }`, if a system contract declares it.
fn named(data: &[u8]) -> Option<String> {
    macro_rules! first_of {
        ($($errors:ty),+ $(,)?) => {
            $(if let Ok(error) = <$errors>::abi_decode(data) {
                return Some(readable(&format!("{error:?}")));
            })+
        };
    }
    first_of!(
        IJobMarket::IJobMarketErrors,
        ISlashingCourt::ISlashingCourtErrors,
        IEscrow::IEscrowErrors,
        IStakeManager::IStakeManagerErrors,
        IProviderRegistry::IProviderRegistryErrors,
        IValidatorRegistry::IValidatorRegistryErrors,
        IRandomness::IRandomnessErrors,
        IReputation::IReputationErrors,
        IFeeVault::IFeeVaultErrors,
        IRollupRegistry::IRollupRegistryErrors,
        IWAKE::IWAKEErrors,
        standard::Standard::StandardErrors,
    );
    None
}

/// `Outer(Inner { … })` without the outer name, and names of parameters (`bytes32`) as text.
fn readable(debug: &str) -> String {
    let inner = debug.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(debug);
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find("0x") {
        out.push_str(&rest[..at]);
        let digits = rest[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let word = &rest[at..at + 2 + digits];
        out.push_str(&short_string(word).unwrap_or_else(|| word.to_owned()));
        rest = &rest[at + 2 + digits..];
    }
    out + rest
}

/// The text in a `bytes32` that holds a short ASCII string padded with zeroes.
fn short_string(word: &str) -> Option<String> {
    let bytes = hex::decode(word.strip_prefix("0x")?).ok()?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, padding) = bytes.split_at(end);
    let is_text = bytes.len() == 32 && end >= 2 && text.iter().all(u8::is_ascii_graphic);
    (is_text && padding.iter().all(|byte| *byte == 0)).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256, U256};

    fn revert(error: impl SolError) -> Revert {
        Revert::new(error.abi_encode().into())
    }

    fn name(text: &str) -> B256 {
        let mut word = [0; 32];
        word[..text.len()].copy_from_slice(text.as_bytes());
        B256::from(word)
    }

    #[test]
    fn custom_errors_show_their_values_by_name() {
        let error = IJobMarket::EscrowUnderpaid { sent: U256::from(5), required: U256::from(8) };
        assert_eq!(revert(error).to_string(), "EscrowUnderpaid { sent: 5, required: 8 }");
        let error = ISlashingCourt::DrawTooEarly { drawBlock: U256::from(9), at: U256::from(7) };
        assert_eq!(revert(error).to_string(), "DrawTooEarly { drawBlock: 9, at: 7 }");
        let error = standard::Standard::AccessManagedUnauthorized { caller: Address::ZERO };
        assert!(revert(error).to_string().starts_with("AccessManagedUnauthorized { caller: 0x0000"));
    }

    #[test]
    fn states_and_parameter_names_are_words() {
        let error = IJobMarket::WrongJobState {
            jobId: U256::from(1),
            state: IJobMarket::JobState::Closed,
            wanted: IJobMarket::JobState::Bidding,
        };
        assert_eq!(revert(error).to_string(), "WrongJobState { jobId: 1, state: Closed, wanted: Bidding }");
        let error = IJobMarket::TermOutOfRange {
            name: name("tasksMax"),
            value: U256::from(9),
            min: U256::from(1),
            max: U256::from(8),
        };
        assert_eq!(revert(error).to_string(), "TermOutOfRange { name: tasksMax, value: 9, min: 1, max: 8 }");
    }

    #[test]
    fn a_digest_is_not_mistaken_for_a_word() {
        let digest = B256::repeat_byte(0xab);
        let error = ISlashingCourt::RootDoesNotMatch { root: digest, commitment: B256::ZERO };
        assert!(revert(error).to_string().contains(&digest.to_string()));
    }

    #[test]
    fn strings_panics_and_silence_are_told_apart() {
        assert_eq!(revert(RevertString::from("too poor")).to_string(), "too poor");
        assert_eq!(revert(Panic { code: U256::from(0x11) }).to_string(), "Solidity panic 0x11");
        assert_eq!(Revert::new(Bytes::new()).to_string(), "the contract gave no reason");
        let unknown = Revert::new(Bytes::from_static(&[1, 2, 3, 4]));
        assert_eq!(unknown.to_string(), "unknown error 0x01020304");
    }

    #[test]
    fn errors_are_matched_by_type() {
        let twice = revert(IJobMarket::AlreadyBid { jobId: U256::from(3), provider: Address::ZERO });
        assert!(twice.is::<IJobMarket::AlreadyBid>());
        assert!(!twice.is::<IJobMarket::UnknownJob>());
        assert_eq!(twice.decode::<IJobMarket::AlreadyBid>().unwrap().jobId, U256::from(3));
        assert!(!Revert::new(Bytes::from_static(&[1])).is::<IJobMarket::AlreadyBid>());
    }

    #[test]
    fn cut_off_data_is_shown_and_never_a_panic() {
        let full = IJobMarket::EscrowUnderpaid { sent: U256::from(5), required: U256::from(8) }.abi_encode();
        for end in 0..full.len() {
            let _ = Revert::new(full[..end].to_vec().into()).to_string();
        }
    }
}
