//! From events to records: connections, stream reassembly, HTTP and WebSocket.
