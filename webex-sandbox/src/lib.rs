//! A stand-in Webex cloud for tests and first steps: OAuth, U2C, WDM, Mercury, Mobius, faults.
