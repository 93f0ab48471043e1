//! Registers Webex Calling lines: Mobius discovery, register, keepalive, failover, deregister.
