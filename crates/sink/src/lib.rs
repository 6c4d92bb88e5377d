//! From records to bytes: encoders and destinations.
