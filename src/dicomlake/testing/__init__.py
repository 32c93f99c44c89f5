"""Made-up DICOM for tests and demonstrations; nothing here comes from a person.

dicom      encode a description into the bytes of a Part 10 file, well-formed or wrong on purpose
charsets   text in every Specific Character Set
hospital   a whole made-up hospital: patients, studies, reports, and an untidy archive
"""
