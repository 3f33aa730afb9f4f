//! One run of one command: where its output goes, and what it knows about the network.

use crate::{Exit, Failure, Global, Output};
use sdk::protocol::network::Network;
use sdk::{Client, Options, Wallet};
use serde_json::Value;
use std::io::Write;

/// What the binary gives to a command.
pub struct Context<'a> {
    /// Options that every command takes.
    pub global: Global,
    /// The network that was found, or why none was; commands that need none do not look.
    pub network: Result<Network, Failure>,
    /// Where data goes: stdout.
    pub out: &'a mut (dyn Write + Send),
    /// Where talk goes: stderr.
    pub err: &'a mut (dyn Write + Send),
}

/// State of a command while it runs.
pub(crate) struct Session<'a> {
    pub(crate) global: Global,
    network: Result<Network, Failure>,
    out: &'a mut (dyn Write + Send),
    err: &'a mut (dyn Write + Send),
    doing: String,
    money: Option<(String, String)>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(context: Context<'a>) -> Self {
        let Context { global, network, out, err } = context;
        Self { global, network, out, err, doing: "the command failed".to_owned(), money: None }
    }

    /// What a failure from here on is introduced with: `cannot …`.
    pub(crate) fn doing(&mut self, what: impl Into<String>) {
        self.doing = what.into();
    }

    /// Where money is from here on, whatever fails, and what to do about it.
    pub(crate) fn money(&mut self, money: impl Into<String>, next: impl Into<String>) {
        self.money = Some((money.into(), next.into()));
    }

    /// Takes back [`Self::money`]: what was feared did not happen.
    pub(crate) fn nothing_paid(&mut self) {
        self.money = None;
    }

    pub(crate) fn is_json(&self) -> bool {
        self.global.output == Output::Json
    }

    /// Talk for a person; left out where stderr is for a program.
    pub(crate) fn say(&mut self, text: impl AsRef<str>) {
        if !self.is_json() {
            // A closed stderr must not end a command that has paid for something.
            let _ = writeln!(self.err, "{}", text.as_ref());
        }
    }

    /// The result: `text` (nothing, if it is empty) or `json`, as asked for.
    pub(crate) fn print(&mut self, text: impl AsRef<str>, json: Value) -> Result<(), Failure> {
        let text = match self.global.output {
            Output::Text => with_newline(text.as_ref()),
            Output::Json => format!("{json}\n"),
        };
        self.write(text.as_bytes())
    }

    /// Bytes of the result as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(Failure::output)
    }

    /// Where data goes.
    pub(crate) fn out(&mut self) -> &mut (dyn Write + Send) {
        self.out
    }

    /// Connects to the network; both its gateway and its RPC must answer.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let network = self.network.clone()?;
        Ok(Client::connect(network, Options::default()).await?)
    }

    /// The account that the options name, on the client's network.
    pub(crate) fn wallet(&self, client: &Client) -> Result<Wallet, Failure> {
        Ok(Wallet::dev(client.network(), self.global.account.unwrap_or_default())?)
    }

    /// Writes the failure; returns how the process should exit.
    pub(crate) fn fail(self, failure: Failure) -> Exit {
        let mut failure = failure.during(self.doing);
        if let Some((money, next)) = self.money {
            failure = failure.money(money).next(next);
        }
        if failure.exit != Exit::Ok {
            let _ = failure.write(self.global.output, self.err);
        }
        failure.exit
    }
}

fn with_newline(text: &str) -> String {
    match text.ends_with('\n') || text.is_empty() {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}
