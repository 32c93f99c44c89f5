"""De-identification: headers, pixels and reports without what tells who somebody is (PS3.15 E)."""
