"""Signs and verifies with the vendors' own libraries: questions on standard input, answers on standard output."""

import datetime
import json
import sys

import standardwebhooks
import stripe
import svix.webhooks


class Standard:
    def __init__(self, webhook, prefix):
        self.webhook, self.prefix = webhook, prefix

    def sign(self, q):
        moment = datetime.datetime.fromtimestamp(q["timestamp"], datetime.timezone.utc)
        signature = self.webhook(q["secret"]).sign(q["id"], moment, q["body"])
        values = {"id": q["id"], "timestamp": str(q["timestamp"]), "signature": signature}
        return {self.prefix + name: value for name, value in values.items()}

    def verify(self, q):
        self.webhook(q["secret"]).verify(q["body"], q["headers"])


class Stripe:
    def sign(self, q):
        header = stripe.WebhookSignature.generate_signature_header(q["body"], q["secret"], q["timestamp"])
        return {"stripe-signature": header}

    def verify(self, q):
        stripe.Webhook.construct_event(q["body"], q["headers"].get("stripe-signature"), q["secret"])


LIBRARIES = {
    "standardwebhooks": Standard(standardwebhooks.Webhook, "webhook-"),
    "svix": Standard(svix.webhooks.Webhook, "svix-"),
    "stripe": Stripe(),
}
REFUSALS = (
    standardwebhooks.WebhookVerificationError,
    stripe.SignatureVerificationError,
    # Standard Webhooks' library on a header that is not of its form.
    ValueError,
)


def answer(q):
    library = LIBRARIES[q["library"]]
    if q["action"] == "sign":
        return {"headers": library.sign(q)}
    try:
        library.verify(q)
    except REFUSALS:
        return {"accepted": False}
    return {"accepted": True}


json.dump([answer(q) for q in json.load(sys.stdin)], sys.stdout)
