// Answers what the model %%model%% makes of the numbers in a request's body, a JSON list.
import { TensorType, body, errorText, infer, respond } from "wasmind";

export function _start(): void {
  const words = String.UTF8.decode(body()).replaceAll("[", " ").replaceAll("]", " ").replaceAll(",", " ").split(" ");
  const numbers: Array<%%input_as%%> = [];
  for (let at = 0; at < words.length; at++) {
    if (words[at].trim().length) numbers.push(<%%input_as%%>parseFloat(words[at]));
  }

  const count: u32 = numbers.length;
  const input = StaticArray.fromArray<%%input_as%%>(numbers);
  const outputs = infer("%%model%%", TensorType.%%input_type%%, [%%dims%%], changetype<ArrayBuffer>(input));
  if (outputs.errno) {
    respond(errorText(outputs.errno) + "\n", 500);
    return;
  }
  const answers = %%output_as%%Array.wrap(outputs.values[0]);
  respond("[" + answers.join(", ") + "]\n", 200, "application/json");
}
