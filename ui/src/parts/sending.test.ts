import { expect, test } from "vitest";
import { isFor, isMapping, kindOf, mappingName, plainName } from "./sending.ts";

test("names are made plain, and keep their ending", () => {
  expect(plainName("Müller, Anna (2).csv")).toBe("Müller_Anna_2_.csv");
  expect(plainName(".hidden")).toBe("hidden");
  expect(plainName(`${"x".repeat(200)}.nii.gz`)).toMatch(/^x+\.nii\.gz$/);
  expect(plainName(`${"x".repeat(200)}.nii.gz`)).toHaveLength(120);
});

test("a mapping is named after its file", () => {
  expect(mappingName("Heart Labels 2024.YAML")).toBe("heart-labels-2024");
  expect(mappingName("__.yml")).toBe("mapping");
  expect(isMapping("a.yml")).toBe(true);
  expect(isMapping("a.yaml.csv")).toBe(false);
});

test("what a file most likely is", () => {
  expect(kindOf("ecg.XML")).toBe("convert");
  expect(kindOf("liver.nii.gz")).toBe("convert");
  expect(kindOf("Condition.ndjson.gz")).toBe("facts");
  expect(kindOf("labels.csv")).toBeUndefined();
});

test("a mapping goes along with the files that its converter reads", () => {
  const labels = "# Heart labels\nconverter: labels\nto: history\n";
  expect(isFor(labels, "register.csv")).toBe(true);
  expect(isFor(labels, "scp000002.scp")).toBe(false);
  expect(isFor("converter: 'masks'", "liver.nii.gz")).toBe(true);
  expect(isFor("converter: masks", "labels.csv")).toBe(false);
  expect(isFor(labels, "everything.zip")).toBe(true);
  expect(isFor("tables: []", "labs.csv")).toBe(true);
});
