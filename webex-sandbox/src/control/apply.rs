//! Carries out a [`Control`].

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Control, ControlError, Outcome};
use crate::{
    exchange::reply::merge_patch,
    seconds,
    state::{
        instances::InstanceBehaviour,
        messages::Message,
        policy::Policies,
        sockets::{SocketCommand, SocketControl},
        tokens::{Access, Tokens},
    },
    urls,
    world::{Change, World},
};

/// Event by which Mobius reports that it has dropped a registration.
const REGISTRATION_DOWN: &str = "registration.down";

type Result = std::result::Result<Outcome, ControlError>;

/// Reads a control from JSON and applies it. Fields that `set_policies` and `set_instance` leave
/// out keep their values.
///
/// # Errors
/// [`ControlError`].
pub(crate) fn apply_json(world: &World, mut control: Value) -> Result {
    let malformed = |error: serde_json::Error| ControlError::Malformed(error.to_string());
    let _editing = world.editing.lock();
    if let Some(change) = control.get_mut("set_policies") {
        let now = serde_json::to_value(&*world.policies.read()).map_err(malformed)?;
        let change = std::mem::replace(change, now);
        merge_patch(&mut control["set_policies"], &change);
    } else if let Some(body) = control.get_mut("set_instance") {
        let name = body.get("instance").and_then(Value::as_str).unwrap_or_default();
        let instance = world.instance(name).ok_or(ControlError::Unknown)?;
        let mut behaviour = serde_json::to_value(instance.behaviour()).map_err(malformed)?;
        merge_patch(&mut behaviour, body.get("behaviour").unwrap_or(&json!({})));
        body["behaviour"] = behaviour;
    }
    apply(world, serde_json::from_value(control).map_err(malformed)?)
}

/// Applies a control.
///
/// # Errors
/// [`ControlError::Unknown`] when its target does not exist.
pub(crate) fn apply(world: &World, control: Control) -> Result {
    match control {
        Control::AddUser(user) => {
            let user = world.add_user(user);
            Ok(Outcome::User((*user).clone()))
        }
        Control::IssueToken { user, lifetime } => issue_token(world, &user, lifetime),
        Control::ExpireToken { token, after } => {
            let is_known = world.tokens.lock().expire(&token, Instant::now(), after);
            changed_if(world, is_known, || Change::TokensChanged)
        }
        Control::ExpireTokens { user, after } => {
            let expired = world.tokens.lock().expire_user(&user, Instant::now(), after);
            world.changed(|| Change::TokensChanged);
            Ok(Outcome::Expired { expired })
        }
        Control::RevokeToken { token } => {
            let is_known = world.tokens.lock().revoke(&token);
            changed_if(world, is_known, || Change::TokensChanged)
        }
        Control::RevokeTokens { user } => {
            let revoked = world.tokens.lock().revoke_user(&user);
            world.changed(|| Change::TokensChanged);
            Ok(Outcome::Revoked { revoked })
        }
        Control::PushEvent { user, data } => {
            Ok(Outcome::Sent { sockets: send(world, &user, || SocketCommand::Event(data.clone())) })
        }
        Control::WriteMessage { user, from, text } => {
            Ok(Outcome::Sent { sockets: write_message(world, &user, &from, &text) })
        }
        Control::AddClient(client) => {
            world.oauth.lock().add_client(client);
            world.changed(|| Change::Settings);
            Ok(Outcome::Client)
        }
        Control::SetConsent { user, refusal } => set_consent(world, user, refusal),
        Control::DecideDevice { user_code, approve, user } => {
            let user = match user {
                Some(id) => world.users.lock().by_id(&id).ok_or(ControlError::Unknown)?,
                None => Arc::clone(&world.default_user),
            };
            known(world.decide_device(&user_code, approve.then_some(user)))
        }
        Control::ExpireDevice { device } => known(world.remove_device(&device, true)),
        Control::AgeDevice { device, unused } => {
            let is_known = world.devices.lock().age(&device, unused);
            changed_if(world, is_known, || Change::Settings)
        }
        Control::ExpireLine { line } => known(world.remove_line(&line, true)),
        Control::DropLine { line } => drop_line(world, &line),
        Control::Socket { socket, command } => known(command_socket(world, socket, command)),
        Control::ClearRequests => {
            world.log.clear();
            world.changed(|| Change::RequestsForgotten);
            Ok(Outcome::Done)
        }
        Control::AddFault(fault) => {
            let id = world.faults.add(fault);
            world.changed(|| Change::FaultsChanged);
            Ok(Outcome::Fault { id })
        }
        Control::ClearFault { fault } => {
            let is_known = world.faults.clear(fault);
            changed_if(world, is_known, || Change::FaultsChanged)
        }
        Control::ClearFaults => {
            world.faults.clear_all();
            world.changed(|| Change::FaultsChanged);
            Ok(Outcome::Done)
        }
        Control::SetInstance { instance, behaviour } => set_instance(world, instance, behaviour),
        Control::SetLatency { request, connection } => {
            set_latency(world, request, connection);
            Ok(Outcome::Done)
        }
        Control::SetClock { skew_s } => {
            world.clock.set_skew(skew_s);
            world.changed(|| Change::Settings);
            Ok(Outcome::Done)
        }
        Control::SetConnections { idle } => {
            world.idle_limit.send_replace(idle);
            world.changed(|| Change::Settings);
            Ok(Outcome::Done)
        }
        Control::SetMutations(switches) => {
            for (mutation, on) in switches {
                world.mutations.set(mutation, on);
            }
            world.changed(|| Change::Settings);
            Ok(Outcome::Done)
        }
        Control::SetPolicies(policies) => {
            world.policies.write().clone_from(&policies);
            world.changed(|| Change::Settings);
            Ok(Outcome::Policies(policies))
        }
        Control::Place { service, authority } => place(world, &service, authority),
    }
}

/// Changes the rules in force. Changes made by concurrent calls are kept.
pub(crate) fn edit_policies(world: &World, change: impl FnOnce(&mut Policies)) {
    let _editing = world.editing.lock();
    let mut policies = world.policies.read().clone();
    change(&mut policies);
    // Setting the rules cannot fail.
    let _ = apply(world, Control::SetPolicies(Box::new(policies)));
}

/// Changes how a Mobius instance behaves.
///
/// # Errors
/// [`ControlError::Unknown`] when no instance has that name.
pub(crate) fn edit_instance(
    world: &World,
    name: &str,
    change: impl FnOnce(&mut InstanceBehaviour),
) -> Result {
    let _editing = world.editing.lock();
    let mut behaviour = world.instance(name).ok_or(ControlError::Unknown)?.behaviour();
    change(&mut behaviour);
    apply(world, Control::SetInstance { instance: name.to_owned(), behaviour })
}

fn known(is_known: bool) -> Result {
    if is_known { Ok(Outcome::Done) } else { Err(ControlError::Unknown) }
}

fn changed_if(world: &World, is_known: bool, change: impl FnOnce() -> Change) -> Result {
    if is_known {
        world.changed(change);
    }
    known(is_known)
}

fn issue_token(world: &World, user: &str, lifetime: Option<Duration>) -> Result {
    let user = world.users.lock().by_id(user).ok_or(ControlError::Unknown)?;
    let token = Tokens::mint(&user.org_id);
    let expires = lifetime.map(|lifetime| seconds::after(Instant::now(), lifetime));
    let access = Access { expires, ..Access::unlimited(&user) };
    let cap = world.policies.read().oauth.token_cap;
    world.tokens.lock().insert_access(token.clone(), access, cap);
    world.changed(|| Change::TokensChanged);
    Ok(Outcome::Token { token })
}

fn set_instance(world: &World, name: String, behaviour: InstanceBehaviour) -> Result {
    let instance = world.instance(&name).ok_or(ControlError::Unknown)?;
    let down = behaviour.down;
    instance.set_behaviour(behaviour);
    world.changed(|| Change::InstanceSwitched { instance: name, down });
    Ok(Outcome::Done)
}

fn set_latency(world: &World, request: Option<Duration>, connection: Option<Duration>) {
    if let Some(delay) = request {
        world.latency.set_request(delay);
    }
    if let Some(delay) = connection {
        world.latency.set_connection(delay);
    }
    world.changed(|| Change::Settings);
}

fn place(world: &World, service: &str, authority: String) -> Result {
    let host = urls::host_named(service, &world.config.instances).ok_or(ControlError::Unknown)?;
    Arc::make_mut(&mut world.places.write()).insert(host.to_owned(), authority);
    world.changed(|| Change::Settings);
    Ok(Outcome::Done)
}

/// Sends a command to every socket of a user. Returns how many sockets there were.
fn send(world: &World, user_id: &str, command: impl Fn() -> SocketCommand) -> usize {
    let sockets = world.sockets.lock().of_user(user_id);
    sockets.iter().filter(|socket| socket.command(command())).count()
}

fn write_message(world: &World, user_id: &str, from: &str, text: &str) -> usize {
    let author = world.users.lock().by_email(from).map(|user| user.id.clone());
    let author = author.unwrap_or_else(|| Uuid::new_v4().to_string());
    let message = world.messages.lock().insert(Message::new(None, (&author, from), text));
    send(world, user_id, || SocketCommand::Message(Arc::clone(&message)))
}

fn set_consent(world: &World, user: Option<String>, refusal: Option<String>) -> Result {
    let user = match user {
        Some(id) => Some(world.users.lock().by_id(&id).ok_or(ControlError::Unknown)?),
        None => None,
    };
    {
        let mut oauth = world.oauth.lock();
        oauth.consent.refusal = refusal;
        if user.is_some() {
            oauth.consent.user = user;
        }
    }
    world.changed(|| Change::Settings);
    Ok(Outcome::Done)
}

/// Ends a line as the real service would, with the event that reports it.
fn drop_line(world: &World, id: &str) -> Result {
    let line = world.lines.lock().get(id).map(|entry| entry.line.clone());
    let line = line.filter(|_| world.remove_line(id, false)).ok_or(ControlError::Unknown)?;
    let data = json!({"eventType": REGISTRATION_DOWN, "deviceId": line.device_id});
    send(world, &line.user_id, || SocketCommand::Event(data.clone()));
    Ok(Outcome::Done)
}

fn command_socket(world: &World, id: u64, command: SocketControl) -> bool {
    let entry = world.sockets.lock().get(id);
    entry.is_some_and(|entry| entry.command(SocketCommand::Control(command)))
}
