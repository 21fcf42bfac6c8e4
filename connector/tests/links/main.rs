//! Agents on the links of a real engine, each played by the test over a transport of channels.

mod check_ins;
mod copies;
mod deploying;
mod frames;
mod identity;
mod life;
mod nodes;
mod passive;
mod played;
mod presence;
mod sessions;
mod site;
mod storm;
mod trust;
