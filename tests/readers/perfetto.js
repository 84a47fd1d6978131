// Runs Perfetto's trace processor (the WASM that its UI uses) in node and prints query results as JSON.
// Usage: node perfetto.js DIRECTORY-OF-THE-UI TRACE SQL...
// The messages are perfetto's TraceProcessorRpcStream (protos/perfetto/trace_processor/trace_processor.proto).
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [directory, trace, ...queries] = process.argv.slice(2);
const APPEND = 1, FINALIZE = 2, QUERY = 3;
const NULL = 1, VARINT = 2, FLOAT = 3, STRING = 4;

function varint(number) {
  const bytes = [];
  for (let rest = BigInt(number); ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...bytes, Number(rest)]);
    bytes.push(Number(rest & 127n) | 128);
  }
}
const numberField = (id, value) => Buffer.concat([varint(id << 3), varint(value)]);
const bytesField = (id, value) => Buffer.concat([varint((id << 3) | 2), varint(value.length), value]);

function readVarint(buffer, state) {
  let value = 0n;
  for (let shift = 0n; ; shift += 7n) {
    const byte = buffer[state.at++];
    value |= BigInt(byte & 127) << shift;
    if (byte < 128) return BigInt.asIntN(64, value);
  }
}
function fields(buffer) {
  const found = [];
  for (const state = { at: 0 }; state.at < buffer.length; ) {
    const tag = Number(readVarint(buffer, state));
    let value;
    if ((tag & 7) === 0) value = readVarint(buffer, state);
    else {
      const length = (tag & 7) === 1 ? 8 : (tag & 7) === 5 ? 4 : Number(readVarint(buffer, state));
      value = buffer.subarray(state.at, (state.at += length));
    }
    found.push([tag >> 3, value]);
  }
  return found;
}
const all = (found, id) => found.filter((entry) => entry[0] === id).map((entry) => entry[1]);

function unpack(buffer) {
  const numbers = [];
  for (const state = { at: 0 }; state.at < buffer.length; ) numbers.push(readVarint(buffer, state));
  return numbers;
}

// Rows of the batches of one query, or the error.
function takeResult(result, into) {
  const found = fields(result);
  for (const error of all(found, 2)) if (error.length) throw new Error(error.toString());
  for (const name of all(found, 1)) into.columns.push(name.toString());
  for (const batch of all(found, 3)) {
    const parts = fields(batch);
    const cells = all(parts, 1).flatMap(unpack).map(Number);
    const numbers = all(parts, 2).flatMap(unpack);
    const floats = Buffer.concat(all(parts, 3));
    const strings = Buffer.concat(all(parts, 5)).toString().split("\0");
    let floatAt = 0;
    for (const cell of cells) {
      if (cell === VARINT) into.cells.push(Number(numbers.shift()));
      else if (cell === FLOAT) into.cells.push(floats.readDoubleLE(8 * floatAt++));
      else if (cell === STRING) into.cells.push(strings.shift());
      else if (cell === NULL) into.cells.push(null);
      else throw new Error(`cell of kind ${cell}`);
    }
    if (all(parts, 6).some((flag) => flag === 1n)) return true;
  }
  return false;
}

function main() {
  process.type = "renderer"; // or the engine refuses to run: it is built for browsers only
  globalThis.self = globalThis;
  globalThis.WorkerGlobalScope = function () {};
  globalThis.importScripts = () => {};
  globalThis.location = { href: `file://${directory}/engine_bundle.js` };
  globalThis.XMLHttpRequest = class {
    open(method, name) {
      const body = fs.readFileSync(path.join(directory, path.basename(name)));
      this.response = body.buffer.slice(body.byteOffset, body.byteOffset + body.length);
    }
    send() {}
  };
  console.warn = () => {}; // the engine's own log
  vm.runInThisContext(fs.readFileSync(path.join(directory, "engine_bundle.js"), "utf8"));

  const { port1, port2 } = new MessageChannel();
  let sequence = 0;
  const send = (method, ...more) => {
    const request = Buffer.concat([numberField(1, ++sequence), numberField(2, method), ...more]);
    port1.postMessage(new Uint8Array(bytesField(1, request)));
  };
  const results = [];
  const ask = () => {
    if (results.length === queries.length) {
      process.stdout.write(JSON.stringify(results), () => process.exit(0));
      return;
    }
    current = { columns: [], cells: [] };
    send(QUERY, bytesField(103, bytesField(1, Buffer.from(queries[results.length]))));
  };
  let current;
  let pending = Buffer.alloc(0);
  port1.onmessage = (event) => {
    pending = Buffer.concat([pending, Buffer.from(event.data)]);
    for (;;) {
      // One message of the stream: tag, length, body; wait when it is not whole yet.
      const state = { at: 1 };
      if (pending.length < 6 && pending.length < 2) return;
      const length = Number(readVarint(pending, state));
      if (pending.length < state.at + length) return;
      const reply = fields(pending.subarray(state.at, state.at + length));
      pending = pending.subarray(state.at + length);
      for (const error of all(reply, 5)) if (error.length) throw new Error(error.toString());
      for (const append of all(reply, 201))
        for (const error of all(fields(append), 2)) throw new Error(error.toString());
      if (all(reply, 3)[0] === BigInt(FINALIZE)) ask();
      for (const result of all(reply, 203))
        if (takeResult(result, current)) {
          const width = current.columns.length;
          const rows = [];
          while (current.cells.length) rows.push(current.cells.splice(0, width));
          results.push(rows);
          ask();
        }
      if (!pending.length) return;
    }
  };
  globalThis.onmessage({ data: port2 });
  // The engine loads synchronously and finishes in microtasks, so a later task finds it ready.
  setTimeout(() => {
    const data = fs.readFileSync(trace);
    for (let at = 0; at < data.length; at += 1 << 20) send(APPEND, bytesField(101, data.subarray(at, at + (1 << 20))));
    send(FINALIZE);
  }, 0);
}
process.on("uncaughtException", (error) => {
  // Not node's own report, which quotes the whole bundle.
  console.error(String(error.stack || error).slice(-2000));
  process.exit(1);
});
main();
