//! The work that both peers get: the same accounts, the same signed bytes, in the same order.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use std::thread;

/// EIP-155 id of both chains.
pub const CHAIN_ID: u64 = protocol::network::DEV_CHAIN_ID;
/// Calls in one JSON-RPC batch.
pub const BATCH_CALLS: usize = 250;
/// Connections that send.
pub const CONNECTIONS: usize = 2;
/// Wei each sender gets before the load: enough for every transaction at its fee cap.
const FUNDS: u128 = 80_000_000_000_000_000_000;
/// Fee cap in wei per gas; above any base fee that the load can raise.
const FEE_CAP: u128 = 1_000_000_000_000;
/// Tip in wei per gas.
const TIP: u128 = 1_000_000_000;
/// Creation code of `Token.sol`, compiled with solc 0.8.37, optimizer on, 200 runs, no metadata.
const TOKEN: &str = include_str!("Token.hex");

/// An account with the nonce it uses next.
struct Account {
    signer: PrivateKeySigner,
    nonce: u64,
}

/// What a load consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain transfers of value.
    Transfers,
    /// `Token.transfer`.
    Erc20,
    /// 50 % transfers, 30 % token transfers, 10 % storage writes, 10 % contract creations.
    Mixed,
}

/// Signed transactions of one kind.
pub struct Load {
    /// What they are.
    pub kind: Kind,
    /// How many.
    pub transactions: usize,
    /// JSON-RPC bodies with the number of their transactions, per connection; a sender's transactions are on one.
    pub bodies: Vec<Vec<(Vec<u8>, usize)>>,
}

/// Everything to be sent, in order.
pub struct Work {
    /// Not timed: pays the senders, creates the token, mints. Each step needs the one before to be mined.
    pub setup: Vec<Load>,
    /// Timed.
    pub loads: Vec<Load>,
    /// Transfers sent one at a time, as JSON-RPC bodies with their hashes.
    pub singles: Vec<(Vec<u8>, B256)>,
    /// The token.
    pub token: Address,
    /// An account that holds coin and tokens.
    pub holder: Address,
    /// Each sender with the nonce it has at the end.
    pub nonces: Vec<(Address, u64)>,
}

/// A token whose transfers are the logs to be found.
pub struct LogWork {
    /// Who creates the token and sends it; to be given coin first.
    pub sender: Address,
    /// The token.
    pub token: Address,
    /// Creates the token and mints.
    pub before: Vec<Bytes>,
    /// Transfers, one log each.
    pub transfers: Vec<Bytes>,
}

impl LogWork {
    /// Signs everything.
    pub fn sign(transfers: u64) -> Self {
        let signer = PrivateKeySigner::from_bytes(&keccak256("kumo bench logs")).expect("a hash is in range");
        let (sender, mut account) = (signer.address(), Account { signer, nonce: 0 });
        let token = sender.create(0);
        let before = vec![
            account.sign(TxKind::Create, 0, 1_000_000, creation()),
            account.sign(TxKind::Call(token), 0, 150_000, call("mint(uint256)", &[U256::from(1_000_000)])),
        ];
        let transfers = (0..transfers).map(|seed| account.sign_one(Kind::Erc20, seed, transfers, token)).collect();
        Self { sender, token, before, transfers }
    }
}

impl Kind {
    /// Name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Erc20 => "erc20",
            Self::Mixed => "mixed",
        }
    }
}

impl Work {
    /// Signs everything.
    ///
    /// Each of `accounts` recipients gets something before the loads, which then pay them at random: the state that a
    /// block changes is a part of a larger one, as on any chain in use.
    pub fn sign(senders: usize, accounts: u64, transactions: usize, singles: usize, kinds: &[Kind]) -> Self {
        let mut rich: Vec<_> = sdk::wallet::mnemonic_accounts()
            .iter()
            .map(|account| Account {
                signer: PrivateKeySigner::from_bytes(&account.private_key).expect("a development key is in range"),
                nonce: 0,
            })
            .collect();
        let mut poor: Vec<_> = (0..senders as u64)
            .map(|index| {
                let key = keccak256([b"kumo bench sender".as_slice(), &index.to_be_bytes()].concat());
                Account { signer: PrivateKeySigner::from_bytes(&key).expect("a hash is in range"), nonce: 0 }
            })
            .collect();
        let token = rich[0].signer.address().create(0);
        let create = vec![rich[0].sign(TxKind::Create, 0, 1_000_000, creation())];
        let riches = rich.len();
        let fund = poor.iter().enumerate().map(|(index, account)| {
            rich[index % riches].sign(TxKind::Call(account.signer.address()), FUNDS, 21_000, Bytes::new())
        });
        let fund: Vec<_> = fund.collect();
        let mint = poor.iter_mut().map(|account| {
            account.sign(TxKind::Call(token), 0, 150_000, call("mint(uint256)", &[U256::from(1_000_000)]))
        });
        let mint: Vec<_> = mint.collect();
        let mut setup: Vec<_> = [create, fund, mint].map(|signed| Load::new(Kind::Mixed, vec![signed])).into();
        setup.push(Load::fill(&mut poor, accounts));
        let loads = kinds.iter().map(|kind| Load::sign(*kind, &mut poor, accounts, transactions, token)).collect();
        let singles = (0..singles as u64).map(|index| {
            let raw = poor[0].transfer(recipient(index, accounts));
            (body(&[&raw]), keccak256(&raw))
        });
        let singles = singles.collect();
        let holder = poor[1].signer.address();
        let nonces = poor.iter().map(|account| (account.signer.address(), account.nonce)).collect();
        Self { setup, loads, singles, token, holder, nonces }
    }
}

impl Load {
    /// One transfer to each of `accounts`.
    fn fill(senders: &mut [Account], accounts: u64) -> Self {
        let count = senders.len() as u64;
        let each = accounts.div_ceil(count);
        Self::sign_each(Kind::Transfers, senders, each, |sender, index, round| {
            sender.transfer(account((round * count + index) % accounts))
        })
    }

    fn sign(kind: Kind, senders: &mut [Account], accounts: u64, transactions: usize, token: Address) -> Self {
        let each = transactions.div_ceil(senders.len()) as u64;
        Self::sign_each(kind, senders, each, |sender, index, round| {
            sender.sign_one(kind, index << 20 | round, accounts, token)
        })
    }

    /// `each` transactions of every sender, by its index and the round.
    fn sign_each(
        kind: Kind,
        senders: &mut [Account],
        each: u64,
        sign: impl Fn(&mut Account, u64, u64) -> Bytes + Sync,
    ) -> Self {
        let chunk = senders.len().div_ceil(CONNECTIONS);
        let shards = thread::scope(|scope| {
            let signing: Vec<_> = senders
                .chunks_mut(chunk)
                .zip((0..).step_by(chunk))
                .map(|(senders, first)| {
                    let sign = &sign;
                    // Round robin, so that consecutive transactions come from different senders.
                    scope.spawn(move || {
                        let rounds = (0..each).flat_map(|round| {
                            (first..)
                                .zip(senders.iter_mut())
                                .map(move |(index, sender)| sign(sender, index, round))
                                .collect::<Vec<_>>()
                        });
                        rounds.collect()
                    })
                })
                .collect();
            signing.into_iter().map(|thread| thread.join().expect("signing does not panic")).collect()
        });
        Self::new(kind, shards)
    }

    fn new(kind: Kind, shards: Vec<Vec<Bytes>>) -> Self {
        let transactions = shards.iter().map(Vec::len).sum();
        let bodies = shards.iter().map(|shard| {
            shard.chunks(BATCH_CALLS).map(|batch| (body(&batch.iter().collect::<Vec<_>>()), batch.len())).collect()
        });
        Self { kind, transactions, bodies: bodies.collect() }
    }
}

impl Account {
    fn transfer(&mut self, to: Address) -> Bytes {
        self.sign(TxKind::Call(to), 1, 21_000, Bytes::new())
    }

    fn sign_one(&mut self, kind: Kind, seed: u64, accounts: u64, token: Address) -> Bytes {
        let to = recipient(seed, accounts);
        let token_transfer = |account: &mut Self| {
            let input = call("transfer(address,uint256)", &[U256::from_be_slice(to.as_slice()), U256::from(1)]);
            account.sign(TxKind::Call(token), 0, 80_000, input)
        };
        match (kind, seed % 10) {
            (Kind::Transfers, _) | (Kind::Mixed, 0..5) => self.transfer(to),
            (Kind::Erc20, _) | (Kind::Mixed, 5..8) => token_transfer(self),
            (Kind::Mixed, 8) => {
                let input = call("store(uint256,uint256)", &[U256::from(seed) << 1, U256::from(1)]);
                self.sign(TxKind::Call(token), 0, 100_000, input)
            }
            (Kind::Mixed, _) => self.sign(TxKind::Create, 0, 400_000, creation()),
        }
    }

    fn sign(&mut self, to: TxKind, value: u128, gas_limit: u64, input: Bytes) -> Bytes {
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.nonce,
            gas_limit,
            max_fee_per_gas: FEE_CAP,
            max_priority_fee_per_gas: TIP,
            to,
            value: U256::from(value),
            input,
            ..Default::default()
        };
        self.nonce += 1;
        let signature = self.signer.sign_hash_sync(&transaction.signature_hash()).expect("a local key signs");
        TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
    }
}

/// One of so many accounts that receive, by a number.
fn recipient(seed: u64, accounts: u64) -> Address {
    let index = u64::from_be_bytes(keccak256(seed.to_be_bytes())[..8].try_into().expect("8 of 32 bytes"));
    account(index % accounts)
}

/// An account that receives.
fn account(index: u64) -> Address {
    Address::from_word(keccak256(index.to_be_bytes()))
}

/// Input of a contract call whose arguments are words.
pub fn call(signature: &str, words: &[U256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    words.iter().for_each(|word| input.extend(word.to_be_bytes::<32>()));
    input.into()
}

fn creation() -> Bytes {
    hex::decode(TOKEN.trim()).expect("the file holds hex").into()
}

/// A JSON-RPC batch of `eth_sendRawTransaction`, or one call.
fn body(transactions: &[&Bytes]) -> Vec<u8> {
    let calls: Vec<_> = transactions
        .iter()
        .enumerate()
        .map(|(id, raw)| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_sendRawTransaction","params":["{raw}"]}}"#)
        })
        .collect();
    match calls.as_slice() {
        [call] => call.clone().into_bytes(),
        calls => format!("[{}]", calls.join(",")).into_bytes(),
    }
}
