import { describe, expect, it } from "vitest";
import { listed } from "./list.ts";

describe("a list", () => {
  it.each([
    ["A1\nA2\nA1\n", ["A1", "A2"]],
    ["A1, A2;A3\tA4", ["A1", "A2", "A3", "A4"]],
    ["AccessionNumber\r\nA1\r\nA2", ["A1", "A2"]],
    ["\uFEFFaccession number;PatientID\nA1;P1\nA2;P2", ["A1", "A2"]],
    ['PatientID,"AccessionNumber"\n"Doe, Jane",A1\nP2,"A ""2"""', ["A1", 'A "2"']],
    ["A1,x\nA2,y\nA3,z", ["A1", "A2", "A3"]],
    ["A1,A2\nA3,A4,A5", ["A1", "A2", "A3", "A4", "A5"]],
    ["  ", []],
  ])("%j", (text, found) => {
    expect(listed(text, ["AccessionNumber", "Accession Number"])).toEqual(found);
  });

  it("may have a hundred thousand values", () => {
    const many = Array.from({ length: 100_000 }, (_, at) => `A${at}`);
    expect(listed(many.join("\n"), [])).toHaveLength(100_000);
  });
});
