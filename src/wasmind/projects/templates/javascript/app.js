// Answers what the model %%model%% makes of the numbers in a request's body, a JSON list.
import { handler } from 'wasmind';
import * as nn from 'wasmind/nn';

export const incomingHandler = handler((request) => {
  const numbers = nn.tensor(request.json(), { type: '%%type%%', shape: %%shape%% });
  const outputs = nn.load('%%model%%')({ '%%input%%': numbers });
  return outputs['%%output%%'].flat();
});
