//! Transactions: built, priced, signed, handed in and followed until they are included.
//!
//! Transactions of one account through clones of one [`ChainClient`] keep their order: the account's lane is held while
//! one is handed in, and let go before waiting for its receipt, so several can be in flight. Another process that uses
//! the same account can win a nonce; then the transaction is signed again with the next one, a few times.

use super::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::TxKind;
use tokio::time::Instant;

/// Most gas that one transaction may use (EIP-7825).
pub const GAS_MAX: u64 = 16_777_216;
/// How long an included receipt is waited for.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);

/// Times that a transaction is signed again because its nonce was taken.
const NONCE_TRIES_MAX: u32 = 8;
/// Gas added to an estimate, in percent: state may change between the estimate and the block.
const GAS_MARGIN_PERCENT: u64 = 30;
/// Least gas added to the estimate of a call. The receipt that turns out to be a job's last one also closes the job, refunds and
/// splits the fees, some 200,000 gas that its estimate may not have seen; unused gas is not paid.
const GAS_MARGIN_MIN: u64 = 300_000;
/// Gas of a transfer that nobody may be asked about: enough for a receiver that is a small contract; what is left is not
/// paid.
const SEALED_TRANSFER_GAS: u64 = 100_000;
/// Tip used when the node does not suggest one, in wei per gas.
const TIP_DEFAULT: u128 = 1;

/// One lane per account: whoever holds it hands in the account's next transaction.
#[derive(Debug, Default)]
pub(super) struct Lanes(std::sync::Mutex<HashMap<Address, Lane>>);

/// Next nonce as this process knows it, `None` to go by the node alone.
type Lane = Arc<tokio::sync::Mutex<Option<u64>>>;

impl Lanes {
    fn of(&self, account: Address) -> Lane {
        let mut lanes = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lanes.entry(account).or_default().clone()
    }
}

struct Fees {
    max_fee: u128,
    tip: u128,
}

/// What to send: a call with its money, before it has a nonce and a price.
struct Draft {
    function: &'static str,
    parameters: CallParameters,
}

impl ChainClient {
    /// Sends a call with `value` wei from `wallet`, and waits for its receipt ([`CONFIRM_TIMEOUT`]).
    ///
    /// A call that would fail is not sent: its revert is returned at once and costs nothing.
    pub async fn send<C: SolCall>(
        &self,
        wallet: &Wallet,
        to: Address,
        call: C,
        value: U256,
    ) -> Result<TransactionReceipt, ChainError> {
        let input = call.abi_encode().into();
        let parameters = CallParameters { from: Some(wallet.address()), to, input, value };
        self.send_draft(wallet, Draft { function: C::SIGNATURE, parameters }).await
    }

    /// Sends `value` wei to `to`.
    pub async fn transfer(&self, wallet: &Wallet, to: Address, value: U256) -> Result<TransactionReceipt, ChainError> {
        let parameters = CallParameters { from: Some(wallet.address()), to, input: Bytes::new(), value };
        self.send_draft(wallet, Draft { function: "transfer", parameters }).await
    }

    /// Signs a transfer of `value` wei to `to` with the next nonce, and hands it in nowhere; also its hash. The node is
    /// asked about the sender alone: an estimate would tell it receiver and amount.
    pub(crate) async fn sign_transfer(
        &self,
        wallet: &Wallet,
        to: Address,
        value: U256,
    ) -> Result<(Bytes, B256), ChainError> {
        let account = wallet.address();
        let parameters = CallParameters { from: Some(account), to, input: Bytes::new(), value };
        let draft = Draft { function: "transfer", parameters };
        let fees = self.fees().await?;
        self.check_funds(&draft, account, SEALED_TRANSFER_GAS, &fees).await?;
        let nonce = self.next_nonce(account, None).await?;
        Ok(self.sign(wallet, &draft, nonce, SEALED_TRANSFER_GAS, &fees))
    }

    async fn send_draft(&self, wallet: &Wallet, draft: Draft) -> Result<TransactionReceipt, ChainError> {
        let hash = self.hand_in(wallet, &draft).await?;
        let receipt = self.confirm(wallet.address(), hash).await?;
        if !receipt.status() {
            let revert = self.replay(&draft, &receipt).await;
            return Err(ChainError::Reverted { function: draft.function, revert, transaction: Some(hash) });
        }
        Ok(receipt)
    }

    /// Signs and hands in, in the account's lane.
    async fn hand_in(&self, wallet: &Wallet, draft: &Draft) -> Result<B256, ChainError> {
        let account = wallet.address();
        let gas = self.gas_limit(draft).await?;
        let fees = self.fees().await?;
        self.check_funds(draft, account, gas, &fees).await?;
        let lane = self.inner.lanes.of(account);
        let mut next = lane.lock().await;
        for _ in 0..NONCE_TRIES_MAX {
            let nonce = self.next_nonce(account, *next).await?;
            let (raw, hash) = self.sign(wallet, draft, nonce, gas, &fees);
            match self.submit(&raw, hash).await? {
                Submitted::Pending => {
                    *next = Some(nonce + 1);
                    return Ok(hash);
                }
                Submitted::NonceTaken => {
                    *next = None;
                    tracing::debug!(%account, nonce, "nonce was taken, signing again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
        Err(ChainError::NonceRace { account, tries: NONCE_TRIES_MAX })
    }

    async fn submit(&self, raw: &Bytes, hash: B256) -> Result<Submitted, ChainError> {
        match self.rpc().request::<_, B256>("eth_sendRawTransaction", [raw]).await {
            Ok(_) => Ok(Submitted::Pending),
            Err(RpcError::Refused { message, .. }) if is_known(&message) => Ok(Submitted::Pending),
            // Also what a node says to a transaction that arrived on an earlier try and is already included.
            Err(RpcError::Refused { message, .. }) if is_nonce_taken(&message) => match self.receipt(hash).await? {
                Some(_) => Ok(Submitted::Pending),
                None => Ok(Submitted::NonceTaken),
            },
            Err(error) if may_have_arrived(&error) => Ok(Submitted::Pending),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the receipt. What was handed in may be included whatever happens to the connection meanwhile, so a node
    /// that cannot be reached is asked again until the time is over.
    pub(crate) async fn confirm(&self, account: Address, hash: B256) -> Result<TransactionReceipt, ChainError> {
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        loop {
            match self.receipt(hash).await {
                Ok(Some(receipt)) => return Ok(receipt),
                Ok(None) => {}
                Err(error) => tracing::debug!(%hash, %error, "cannot ask for the receipt, trying again"),
            }
            if Instant::now() >= deadline {
                // The node may have dropped it: the next transaction must not wait behind a gap.
                *self.inner.lanes.of(account).lock().await = None;
                return Err(ChainError::Unconfirmed { hash, waited: CONFIRM_TIMEOUT });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The node counts what it has included and queued; this process may already have handed in more.
    async fn next_nonce(&self, account: Address, known: Option<u64>) -> Result<u64, ChainError> {
        let pending: U64 = self.rpc().request("eth_getTransactionCount", (account, BlockNumberOrTag::Pending)).await?;
        Ok(pending.to::<u64>().max(known.unwrap_or(0)))
    }

    async fn gas_limit(&self, draft: &Draft) -> Result<u64, ChainError> {
        let outcome = self.rpc().request("eth_estimateGas", [&draft.parameters]).await;
        let estimate: U64 = match outcome {
            Ok(estimate) => estimate,
            Err(error) => return Err(self.too_poor(draft).await.unwrap_or(reverted(draft.function, error))),
        };
        let gas = estimate.to::<u64>();
        if gas > GAS_MAX {
            return Err(ChainError::TooMuchGas { function: draft.function, gas });
        }
        let least = if draft.parameters.input.is_empty() { 0 } else { GAS_MARGIN_MIN };
        let margin = (gas / 100 * GAS_MARGIN_PERCENT).max(least);
        Ok(gas.saturating_add(margin).min(GAS_MAX))
    }

    /// Nodes word a lack of funds in many ways; the balance says it in one.
    async fn too_poor(&self, draft: &Draft) -> Option<ChainError> {
        let account = draft.parameters.from?;
        let balance = self.balance(account).await.ok()?;
        let required = draft.parameters.value;
        (balance < required).then_some(ChainError::TooPoor { account, balance, required })
    }

    async fn check_funds(&self, draft: &Draft, account: Address, gas: u64, fees: &Fees) -> Result<(), ChainError> {
        let balance = self.balance(account).await?;
        let gas_cost = U256::from(gas) * U256::from(fees.max_fee);
        let required = draft.parameters.value.saturating_add(gas_cost);
        if balance < required {
            return Err(ChainError::TooPoor { account, balance, required });
        }
        Ok(())
    }

    /// Twice the base fee leaves room for six full blocks of rises (EIP-1559: 1.125^6 < 2.03).
    async fn fees(&self) -> Result<Fees, ChainError> {
        let base = self.header(BlockNumberOrTag::Latest).await?.base_fee_per_gas.unwrap_or(0);
        let tip: Result<U256, RpcError> = self.rpc().request("eth_maxPriorityFeePerGas", ()).await;
        let tip = match tip {
            Ok(tip) => tip.saturating_to::<u128>(),
            Err(RpcError::Refused { .. }) => TIP_DEFAULT,
            Err(error) => return Err(error.into()),
        };
        Ok(Fees { max_fee: (u128::from(base) * 2).saturating_add(tip), tip })
    }

    fn sign(&self, wallet: &Wallet, draft: &Draft, nonce: u64, gas: u64, fees: &Fees) -> (Bytes, B256) {
        let transaction = TxEip1559 {
            chain_id: self.chain_id(),
            nonce,
            gas_limit: gas,
            max_fee_per_gas: fees.max_fee,
            max_priority_fee_per_gas: fees.tip,
            to: TxKind::Call(draft.parameters.to),
            value: draft.parameters.value,
            access_list: Default::default(),
            input: draft.parameters.input.clone(),
        };
        let signature = wallet.sign_digest(&transaction.signature_hash());
        let envelope = TxEnvelope::from(transaction.into_signed(signature));
        (envelope.encoded_2718().into(), *envelope.tx_hash())
    }

    /// Why an included transaction failed: the same call against the state before its block.
    async fn replay(&self, draft: &Draft, receipt: &TransactionReceipt) -> Revert {
        let block = receipt.block_number.unwrap_or(1).saturating_sub(1);
        let outcome: Result<Bytes, RpcError> =
            self.rpc().request("eth_call", (&draft.parameters, BlockNumberOrTag::Number(block))).await;
        match outcome {
            Err(RpcError::Refused { data: Some(data), .. }) => Revert::new(data),
            _ => Revert::new(Bytes::new()),
        }
    }
}

enum Submitted {
    Pending,
    NonceTaken,
}

/// Whether the node may have taken a transaction although it did not say so: the connection broke after it was made.
fn may_have_arrived(error: &RpcError) -> bool {
    match error {
        RpcError::Unreachable { source, .. } => !source.is_connect(),
        RpcError::Body { .. } => true,
        RpcError::Malformed { .. } | RpcError::Refused { .. } => false,
    }
}

fn is_known(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("already known") || message.contains("already in pool") || message.contains("known transaction")
}

fn is_nonce_taken(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("nonce") || message.contains("underpriced")
}
