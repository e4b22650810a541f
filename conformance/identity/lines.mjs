// How a test speaks with a program here: one JSON object a line, in and out. Each question gets one answer.
import { createInterface } from 'node:readline';

/** Answers a line of JSON at a time. Ends with its input, so that nothing outlives the test that started it. */
export async function serve(answer) {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    say(await answer(JSON.parse(line)).catch(failed));
  }
  process.exit(0);
}

/** With what the other side said, where the error is about its answer. */
function failed(error) {
  return { failed: `${error?.stack ?? error} ${JSON.stringify(error?.cause ?? {})}` };
}

/** One line on standard output. */
export function say(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
