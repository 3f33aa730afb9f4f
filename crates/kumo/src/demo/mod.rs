//! `kumo demo`: the whole loop on this machine, each step with a check that can fail.
//!
//! One of the four providers is dishonest on purpose and says so in its attributes. Nothing else is staged: the network is
//! the one of `kumo dev`, and the job is the one in `examples/digits`.

mod job;
pub mod report;
mod rollup;
mod steps;

use crate::dev::DevNetwork;
use crate::dev::plan::Options;
use eyre::Result;
use report::{Narrator, Report};

/// How to run the demo.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Free ports instead of 8080 and 8545.
    pub ports_auto: bool,
    /// Say nothing.
    pub quiet: bool,
}

/// Runs all steps. The network is handed back running, unless it could not be started; the caller stops it.
pub async fn run(settings: Settings) -> (Report, Option<DevNetwork>) {
    let mut narrator = Narrator::new(settings.quiet);
    let mut network = None;
    // The step that failed has told why; the ones after it would only repeat it.
    let _ = script(&mut narrator, settings, &mut network).await;
    (narrator.finish(), network)
}

async fn script(narrator: &mut Narrator, settings: Settings, running: &mut Option<DevNetwork>) -> Result<()> {
    let options = Options { ports_auto: settings.ports_auto, dishonest: 1, ..Options::default() };
    let network = narrator
        .step("network", async {
            let network = DevNetwork::start(options).await?;
            let network = running.insert(network);
            network.ready().await?;
            let detail = steps::describe(network).await?;
            Ok((network, detail))
        })
        .await?;
    let consumer = narrator.step("wallet", steps::wallet(network)).await?;
    let before = steps::Money::now(&consumer).await?;
    let data = narrator.step("store", steps::store(network, &consumer)).await?;
    let hired = narrator.step("hire", job::hire(&consumer, data)).await?;
    let narration = job::Narration::begin(&consumer, &hired, narrator.voice());
    narrator.step("run", job::run(&consumer, &hired, &narration)).await?;
    narrator.step("caught", job::caught(&consumer, &hired, &before)).await?;
    let view = narrator.step("paid", job::paid(&consumer, &hired, &before)).await;
    before.report(&consumer, narrator).await?;
    narrator.job(view?);
    narrator.step("rollup", rollup::rollup(network, &consumer)).await
}
