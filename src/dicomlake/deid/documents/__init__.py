"""Documents without what tells who somebody is: PDF, CDA, HL7 messages, texts, and SR as text.

Nothing of a document goes on as it was: a PDF is rendered anew from its cleaned text, and the
parts of CDA and HL7 that are not known are taken out. What cannot be read is Unresolved.
"""

from __future__ import annotations

from dicomlake.deid.documents.pieces import Replacement
from dicomlake.deid.documents.reports import FORMS, Form, Report, cleaned_report, form_of
from dicomlake.deid.documents.step import DocumentStep

__all__ = ["FORMS", "DocumentStep", "Form", "Replacement", "Report", "cleaned_report", "form_of"]
