//! The program: choose roles from configuration, connect the engines, start and stop them.
//!
//! | module | what |
//! |---|---|
//! | [`args`], [`locate`] | the command line and the environment, read here and nowhere else |
//! | [`roles`] | validator, rpc, storage, provider, gateway: each a `start` function over sockets |
//! | [`dev`], [`node`], [`demo`], [`doctor`] | the commands that run roles |
//! | [`chain`] | the commands that work on a chain on disk |
//! | [`seam`], [`genesis`], [`follower`], [`finality`] | where ordering, execution and their readers meet |
//! | [`bridge`], [`links`] | `kumo bridge`; what the stake voted for, from the validators |
//! | [`validator_snapshot`] | `kumo node snapshot` |
//! | [`policy`] | what a block may have of a namespace |
//! | [`da`], [`retention`] | `kumo da`: sample and fetch the data of blocks; how long validators keep them |
//! | [`protection`] | what a validator's key has signed |
//! | [`chain`] | `kumo chain`: work on a chain in a state directory, without a network |
//! | [`gateway`], [`provider`], [`membership`] | what the roles do |

pub mod args;
pub mod bridge;
pub mod chain;
pub mod da;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod finality;
pub mod follower;
pub mod gateway;
pub mod genesis;
pub mod lane;
pub mod links;
pub mod locate;
pub mod membership;
pub mod node;
pub mod policy;
pub mod protection;
pub mod provider;
pub mod retention;
pub mod roles;
pub mod seam;
pub mod settings;
pub mod stake;
pub mod validator_snapshot;
pub mod validators;
