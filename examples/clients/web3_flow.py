"""web3.py 7: deploy, call, write, watch, every type of transaction, typed data, permits, errors, proofs."""

import asyncio
import json
import os
from pathlib import Path

import rlp
from eth_account import Account
from eth_utils import keccak
from flow import equal, finish, step
from hexbytes import HexBytes
from trie import HexaryTrie
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError, ContractLogicError

HTTP = os.environ["KUMO_RPC"]
SOCKET = HTTP.replace("http", "ws", 1)
w3 = Web3(Web3.HTTPProvider(HTTP))
account = Account.from_key(os.environ["KUMO_KEY"])
w3.eth.default_account = account.address


def send(transaction):
    """Fills in, signs and sends a transaction, and waits for its receipt."""
    filled = {"chainId": w3.eth.chain_id, "nonce": w3.eth.get_transaction_count(account.address, "pending"), **transaction}
    if "gasPrice" not in filled and "maxFeePerGas" not in filled:
        tip = w3.eth.max_priority_fee
        base = w3.eth.get_block("latest")["baseFeePerGas"]
        filled |= {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * base + tip}
    if "gas" not in filled:
        filled["gas"] = w3.eth.estimate_gas({"from": account.address, **filled})
    sent = w3.eth.send_raw_transaction(account.sign_transaction(filled).raw_transaction)
    return w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.1)


def write(call, **more):
    data = call._encode_transaction_data()
    return send({"to": call.address, "data": data, "value": 0, **more})


def deploy(name):
    artifact = json.loads((Path(__file__).parent / f"build/{name}.json").read_text())
    receipt = send({"data": artifact["bytecode"], "value": 0})
    return w3.eth.contract(receipt["contractAddress"], abi=artifact["abi"])


def prove(root, key, nodes):
    """The value of a key under a root, by the nodes between them."""
    return HexaryTrie.get_from_proof(root, keccak(key), [rlp.decode(node) for node in nodes])


async def watch():
    async with AsyncWeb3(WebSocketProvider(SOCKET)) as watcher:
        logs = await watcher.eth.subscribe("logs", {"address": counter.address})
        heads = await watcher.eth.subscribe("newHeads")
        writing = asyncio.create_task(asyncio.to_thread(write, counter.functions.set(8)))
        heard = {}
        async for message in watcher.socket.process_subscriptions():
            heard[message["subscription"]] = message["result"]
            if logs in heard and heads in heard:
                break
        await writing
        equal(counter.events.Changed().process_log(heard[logs])["args"]["number"], 8)
        assert heard[heads]["number"] > 0


counter = None
receipt = None


@step("deploy")
def _():
    global counter
    counter = deploy("Counter")
    assert len(w3.eth.get_code(counter.address)) > 0


@step("call")
def _():
    equal(counter.functions.number().call(), 0)


@step("write")
def _():
    global receipt
    receipt = write(counter.functions.set(7))
    equal((receipt["status"], counter.functions.number().call()), (1, 7))


@step("logs")
def _():
    (event,) = counter.events.Changed.get_logs(from_block=receipt["blockNumber"], argument_filters={"by": account.address})
    equal((event["args"]["number"], event["transactionHash"]), (7, receipt["transactionHash"]))


@step("watch events over WebSocket")
def _():
    asyncio.run(asyncio.wait_for(watch(), 15))


@step("EIP-1559 transaction")
def _():
    receipt = send({"to": account.address, "value": 1})
    equal((receipt["status"], receipt["type"]), (1, 2))


@step("EIP-2930 transaction")
def _():
    slots = [{"address": counter.address, "storageKeys": ["0x" + "00" * 32]}]
    receipt = write(counter.functions.set(9), gasPrice=w3.eth.gas_price, accessList=slots)
    sent = w3.eth.get_transaction(receipt["transactionHash"])
    equal((receipt["type"], len(sent["accessList"])), (1, 1))


@step("legacy transaction")
def _():
    equal(write(counter.functions.set(10), gasPrice=w3.eth.gas_price)["type"], 0)


@step("EIP-7702 transaction")
def _():
    other = Account.create()
    authorization = other.sign_authorization({"chainId": w3.eth.chain_id, "address": counter.address, "nonce": 0})
    data = counter.functions.set(5)._encode_transaction_data()
    receipt = send({"to": other.address, "data": data, "value": 0, "gas": 200_000, "authorizationList": [authorization]})
    equal(receipt["type"], 4)
    delegated = w3.eth.contract(other.address, abi=counter.abi)
    equal(delegated.functions.number().call(), 5, "number in the account's own storage")
    equal(w3.eth.get_code(other.address), HexBytes("0xef0100" + counter.address[2:]))


@step("EIP-712 signature")
def _():
    orders = deploy("Orders")
    domain = {"name": "Orders", "version": "1", "chainId": w3.eth.chain_id, "verifyingContract": orders.address}
    fields = [{"name": "to", "type": "address"}, {"name": "amount", "type": "uint256"}, {"name": "note", "type": "string"}]
    order = {"to": account.address, "amount": 5, "note": "雲"}
    signature = account.sign_typed_data(domain, {"Order": fields}, order).signature
    equal(orders.functions.signer(*order.values(), signature).call(), account.address)


@step("ERC-20 permit")
def _():
    token = deploy("Token")
    spender = Account.create().address
    domain = {"name": "Example", "version": "1", "chainId": w3.eth.chain_id, "verifyingContract": token.address}
    kinds = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    permit = {"owner": account.address, "spender": spender, "value": 3, "nonce": 0, "deadline": 2**256 - 1}
    signed = account.sign_typed_data(domain, {"Permit": fields}, permit)
    r, s = (value.to_bytes(32) for value in (signed.r, signed.s))
    write(token.functions.permit(account.address, spender, 3, permit["deadline"], signed.v, r, s))
    equal(token.functions.allowance(account.address, spender).call(), 3)


@step("revert reason")
def _():
    try:
        counter.functions.fail("no rain").call()
    except ContractLogicError as error:
        return equal(error.message, "execution reverted: no rain")
    raise AssertionError("it succeeded")


@step("typed error")
def _():
    try:
        counter.functions.set(2000).call()
    except ContractCustomError as error:
        data = HexBytes(error.data)
        equal(data[:4], keccak(text="TooLarge(uint256,uint256)")[:4])
        return equal(w3.codec.decode(["uint256", "uint256"], data[4:]), (2000, 1000))
    raise AssertionError("it succeeded")


@step("failed transaction")
def _():
    equal(write(counter.functions.set(2000), gas=100_000)["status"], 0)


@step("batch")
def _():
    with w3.batch_requests() as batch:
        for _ in range(20):
            batch.add(w3.eth.get_balance(account.address))
        equal(len(set(batch.execute())), 1)


@step("transactions in flight")
def _():
    first = w3.eth.get_transaction_count(account.address, "pending")
    price = {"maxFeePerGas": 10 * w3.eth.gas_price, "maxPriorityFeePerGas": 1, "chainId": w3.eth.chain_id}
    sent = []
    for i in range(5):
        equal(w3.eth.get_transaction_count(account.address, "pending"), first + i, "pending nonce")
        transfer = {"to": account.address, "value": i, "gas": 21_000, "nonce": first + i, **price}
        sent.append(w3.eth.send_raw_transaction(account.sign_transaction(transfer).raw_transaction))
    for transaction in sent:
        equal(w3.eth.wait_for_transaction_receipt(transaction, timeout=20)["status"], 1)


@step("safe and finalized")
def _():
    latest, safe, finalized = (w3.eth.get_block(tag)["number"] for tag in ("latest", "safe", "finalized"))
    assert 0 < finalized <= safe <= latest + 1, (latest, safe, finalized)


@step("proof")
def _():
    block = w3.eth.get_block("latest")
    proof = w3.eth.get_proof(counter.address, [0], block["number"])
    leaf = prove(block["stateRoot"], HexBytes(counter.address), proof["accountProof"])
    nonce, balance, storage, code = rlp.decode(leaf)
    equal((int.from_bytes(nonce), int.from_bytes(balance)), (proof["nonce"], proof["balance"]))
    equal((HexBytes(storage), HexBytes(code)), (proof["storageHash"], proof["codeHash"]))
    (slot,) = proof["storageProof"]
    value = prove(proof["storageHash"], bytes(32), slot["proof"])
    equal(int.from_bytes(rlp.decode(value)), counter.functions.number().call(block_identifier=block["number"]))


print("skip blob transaction: the chain takes no blobs")
finish()
