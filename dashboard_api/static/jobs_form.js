// The form of a kind, generated from the JSON Schema of its parameters.
import { asKind } from "./jobs_view.js";
import { make } from "./elements.js";

const TYPES = { integer: "number", number: "number" };

/** Return a property as {type, format, enum, isNullable, …}: a choice with null is that type, and may be left empty. */
function plain(property) {
  const choices = property.anyOf?.filter((one) => one.type !== "null");
  return choices?.length === 1 ? { ...property, ...choices[0], isNullable: true } : property;
}

/** Show the fields of a schema; returns {read, showErrors}. */
export function showFields(box, schema) {
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, property]) => makeField(name, plain(property), required.has(name)));
  box.replaceChildren(...fields.map((field) => field.element));
  return {
    /** Return the parameters; empty ones are left out. */
    read: () => Object.fromEntries(fields.map((field) => [field.name, field.read()]).filter(([, value]) => value !== undefined)),
    /** Show errors beside their fields; return those that belong to none. */
    showErrors(errors) {
      for (const field of fields) field.showError(errors.find((error) => error.field.split(".")[1] === field.name)?.detail ?? "");
      box.querySelector("[aria-invalid=true]")?.focus();
      return errors.filter((error) => !fields.some((field) => error.field.split(".")[1] === field.name));
    },
  };
}

function makeField(name, property, isRequired) {
  const isFlag = property.type === "boolean";
  const element = make("div", isFlag ? "field check" : "field");
  const input = makeInput(property, isRequired);
  Object.assign(input, { name, id: `param-${name}` });
  const label = make("label", "label", asKind(name));
  label.htmlFor = input.id;
  const hint = make("span", "hint", property.description ?? "");
  hint.id = `hint-${name}`;
  const errorText = make("span", "wrong");
  errorText.id = `wrong-${name}`;
  errorText.hidden = true;
  input.setAttribute("aria-describedby", `${hint.id} ${errorText.id}`);
  element.append(...(isFlag ? [input, label] : [label, input]), hint, errorText);
  return {
    name,
    element,
    read: () => readInput(input, property),
    showError(text) {
      errorText.textContent = text;
      errorText.hidden = !text;
      input.setAttribute("aria-invalid", String(Boolean(text)));
    },
  };
}

function makeInput(property, isRequired) {
  if (property.enum) {
    const input = document.createElement("select");
    if (!isRequired && property.default === null) input.append(new Option("", ""));
    input.append(...property.enum.map((value) => new Option(String(value), String(value))));
    if (property.default !== undefined && property.default !== null) input.value = String(property.default);
    return input;
  }
  const input = document.createElement("input");
  input.autocomplete = "off";
  if (property.type === "boolean") {
    input.type = "checkbox";
    input.checked = property.default === true;
    return input;
  }
  input.type = property.format === "date" ? "date" : (TYPES[property.type] ?? "text");
  if (property.type === "number") input.step = "any";
  if (property.minimum !== undefined) input.min = property.minimum;
  if (property.maximum !== undefined) input.max = property.maximum;
  if (property.maxLength !== undefined) input.maxLength = property.maxLength;
  if (property.type === "array") input.placeholder = "several, separated by commas";
  if (property.default !== undefined && property.default !== null) input.value = [].concat(property.default).join(", ");
  return input;
}

function readInput(input, property) {
  if (property.type === "boolean") return input.checked;
  const text = input.value.trim();
  if (!text) return undefined;
  if (property.type === "array") return text.split(",").map((item) => item.trim()).filter(Boolean);
  return property.type in TYPES ? Number(text) : text;
}
