//! What the ticket system is told of a start (TICK-16 to TICK-26, TICK-49).

use std::net::SocketAddr;

use crate::World;
use crate::ids::JumpItemRef;
use crate::session::access_session::Start;

/// What the node adds that no event holds.
#[derive(Clone, Copy)]
pub struct Handed<'a> {
    /// Unguessable, used once; whoever knows it may answer (TICK-16, TICK-41).
    pub request_id: &'a str,
    /// As the user typed it (TICK-17).
    pub ticket_id: &'a str,
    /// Where the answer goes (TICK-18).
    pub response_url: &'a str,
}

/// The pairs of the request, each name once. What is not known is left out or empty.
#[must_use]
pub fn parameters(world: &World, start: &Start, handed: Handed<'_>) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut tell = |name: &str, value: &str| pairs.push((name.to_owned(), value.to_owned()));
    tell("request_id", handed.request_id);
    tell("ticket_id", handed.ticket_id);
    tell("response_url", handed.response_url);
    match start.item {
        JumpItemRef::JumpClient(client) => {
            if let Some(client) = world.jump_clients.get(&client) {
                let (facts, properties) = (&client.facts, &client.properties);
                let private_ip = without_port(&facts.private_ip);
                let computer_name = [&facts.hostname, &private_ip, &properties.name]
                    .into_iter()
                    .find(|name| !name.is_empty());
                tell(
                    "jump_item.computer_name",
                    computer_name.map_or("", |name| name),
                );
                tell("jump_item.type", type_word(start.item.type_name()));
                tell("jump_item.comments", &properties.comments);
                tell("jump_item.group", &world.group_name(properties.group()));
                tell("jump_item.tag", &properties.tag);
                tell("jump_item.public_ip", &without_port(&client.public_ip));
                tell("jump_item.private_ip", &private_ip);
            }
        }
        JumpItemRef::ShellJump(item) => {
            if let Some(item) = world.shell_jumps.get(&item) {
                let properties = &item.properties;
                tell("jump_item.computer_name", &properties.hostname);
                tell("jump_item.type", type_word(start.item.type_name()));
                tell("jump_item.comments", &properties.comments);
                tell("jump_item.group", &world.group_name(properties.group()));
                tell("jump_item.tag", &properties.tag);
                if let Some(jumpoint) = world.jumpoints.get(&properties.jumpoint_id) {
                    tell("jump_item.jumpoint_name", &jumpoint.name);
                }
            }
        }
    }
    for (code_name, value) in world.custom_values_of(start.item) {
        tell(&format!("jump_item.custom.{code_name}"), value);
    }
    if let Some(user) = world.users.get(&start.user) {
        tell("user.id", &start.user.to_string());
        tell("user.username", &user.username);
        tell("user.public_display_name", &user.public_display_name);
        tell("user.private_display_name", &user.private_display_name);
        tell("user.email_address", &user.email_address);
    }
    pairs
}

/// The ticket system's word for a type of Jump Item, by its name in console URLs. The last two are additions of ours (TICK-21).
#[must_use]
pub fn type_word(type_name: &str) -> &'static str {
    match type_name {
        "jump_client" => "client",
        "shell_jump" => "shell",
        "remote_rdp" => "rdp",
        "remote_vnc" => "vnc",
        "remote_jump" | "local_jump" => "push_and_start",
        "vpro" => "vpro",
        "web_jump" => "web",
        "protocol_tunnel_jump" => "protocol_tunnel",
        _ => "",
    }
}

/// The address alone, of an address that may have a port.
fn without_port(address: &str) -> String {
    address
        .parse::<SocketAddr>()
        .map_or_else(|_| address.to_owned(), |address| address.ip().to_string())
}
